"""The tables of a store by themselves: another key, numbers of another store, and an order that is damaged while the store is open."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.core.values import Person
from daemon.edges.store import Store, StoreError, open_store
from daemon.edges.store.numbers import next_number, take_over_numbers
from daemon.edges.store.records import Sealer
from daemon.edges.store.tables import reseal
from daemon.edges.store.vault import Vault
from tests.fixtures.stored import ALICE, put


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    opened = open_store(tmp_path / "one"), open_store(tmp_path / "other")
    yield opened
    for store in opened:
        store.close()


def test_what_does_not_open_stays_as_it_is_under_another_key(stores: tuple[Store, Store]) -> None:
    store, _ = stores
    put(store, ALICE, 2)
    with store.transaction():
        store.database.execute("UPDATE crops SET sealed = zeroblob(60) WHERE number = 1")
        store.database.execute("DELETE FROM crops WHERE number = 2")
        assert reseal(store.tables, Sealer(Vault(bytes(range(32))))) == 1 + 2 + 2, "the person, two templates, two vectors"
    assert store.database.rows("SELECT number, sealed FROM crops") == [(1, bytes(60))]


def test_a_key_that_is_missing_is_not_written(stores: tuple[Store, Store]) -> None:
    store, _ = stores
    with store.transaction():
        assert store.database.reseal_row("people", {"person": "E1"}, lambda sealed: b"never") == 0
    assert store.people() == []


def test_numbers_that_another_store_has_used_are_not_used_again(stores: tuple[Store, Store]) -> None:
    store, other = stores
    put(other, ALICE, 3)
    with other.transaction():
        other.remove_person("E1")
    with store.transaction():
        take_over_numbers(store.database, other.database)
    assert next_number(store.database, "templates", "number") == 4
    put(store, Person("E2"), 2)
    with store.transaction():
        take_over_numbers(store.database, other.database)
    assert next_number(store.database, "templates", "number") == 6


def test_an_order_that_is_damaged_while_the_store_is_open_is_an_error_and_a_newer_one_replaces_it(stores: tuple[Store, Store]) -> None:
    store, _ = stores
    with store.transaction():
        store.put_issued("E1", 10.0)
        store.database.execute("UPDATE orders SET sealed = zeroblob(60)")
    with pytest.raises(StoreError, match="cannot be read"):
        store.last_issued("E1")
    with store.transaction():
        store.put_issued("E1", 11.0)
    assert store.last_issued("E1") == 11.0 and store.tables.orders.damaged() == []
