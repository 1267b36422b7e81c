"""One flipped bit anywhere in what is on disk: everybody is exactly as they were, or absent, or the store refuses. Nobody is different.
And the audit chain is whole as far as it goes, or says that it is broken.

`OSTIARY_FAULTS=20000 pytest tests/faults` (or `make faults`) flips that many bits; the seed is the same everywhere.
"""

import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from daemon.core.audit import AuditError, CommandAnswered, Place, followed
from daemon.core.values import Person
from daemon.edges.store import Store, StoreError, VaultError, open_store
from tests.fixtures.stored import outbox

FLIPS = int(os.environ.get("OSTIARY_FAULTS", "600"))
PAGE = 4096
MODEL, OTHER = "m-1", "m-2"
PEOPLE = [f"E{i}" for i in range(1, 13)]
REVOKED = ("E3", "E8")


@dataclass(frozen=True)
class Truth:
    """What the store held, and the files that held it."""

    files: dict[str, bytes]
    people: dict[str, Person]
    templates: dict[int, tuple[str, list[tuple[str, bytes]], bytes]]
    served: dict[tuple[int, str], tuple[str, bytes]]
    orders: dict[str, float]
    results: dict[str, bytes]
    waiting: list[tuple[str, bytes, float | None]]
    audit: list[Place]


def template_of(person: str, number: int) -> tuple[np.ndarray, bytes]:
    drawn = np.random.default_rng([len(person), int(person[1:]), number])
    vector = drawn.normal(size=128).astype(np.float32)
    return vector / np.linalg.norm(vector), drawn.bytes(5000 if number else 300)  # one that overflows its page, and one that does not


def fill(store: Store) -> None:
    """As the commands do it: enrol, suspend and revoke, each with its order and its answer, and a stream of decisions between."""
    clock = 100.0

    def command(store: Store, person: str, op: str) -> None:
        nonlocal clock
        clock += 1
        store.put_issued(person, clock)
        store.next_revision()
        store.put_result(f"{op} {person}", f"done: {op} {person}".encode(), clock)
        store.enqueue("north", "result", f"{op} {person}".encode())
        store.audit.append(clock, CommandAnswered("north", None, op, "done", None, store.pseudonym(person), int(clock)))

    for person in PEOPLE:
        with store.transaction():
            store.put_person(Person(person, name=f"Name of {person}", gates=("north",) if person == "E5" else None, enrolled_at=clock))
            for number in range(2):
                added = store.add_template(person, MODEL, *template_of(person, number), clock)
                if person in ("E2", "E3", "E9"):  # a change of model is under way
                    store.put_vector(added, person, OTHER, template_of(person, number)[0][::-1])
            command(store, person, "enroll")
    for person in ("E1", "E7"):
        with store.transaction():
            store.put_person(Person(person, name=f"Name of {person}", suspended=True))
            command(store, person, "suspend")
    for person in REVOKED:
        with store.transaction():
            store.remove_person(person)
            command(store, person, "revoke")
    for number in range(10):
        with store.transaction():
            store.next_sequence("north")
            store.enqueue("north", "decision", b"accept %d" % number, valid_until=200.0 + number)
            store.audit.append(200.0, CommandAnswered("north", None, "ping", "done", None, None, number))


@pytest.fixture(scope="module", params=["killed", "stopped"])
def truth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("truth")
    store = open_store(folder)
    fill(store)
    # As kill -9 leaves it: the log is not empty, and goes before the same pages in the file.
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}
    assert set(files) == {"gallery.sqlite", "gallery.sqlite-wal", "gallery.sqlite-shm", "key"} and files["gallery.sqlite-wal"]
    seen = look(store)
    store.close()
    if request.param == "stopped":
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}
        assert set(files) == {"gallery.sqlite", "key"}
    assert len(seen.people) == len(PEOPLE) - len(REVOKED) and len(seen.templates) == 2 * len(seen.people) and seen.people["E1"].suspended
    return Truth(files, seen.people, seen.templates, seen.served, seen.orders, seen.results, seen.waiting, seen.audit)


def look(store: Store) -> Truth:
    templates = {t.number: (t.person, sorted((m, v.tobytes()) for m, v in t.vectors.items()), t.crop) for t in store.templates()}
    served = {(t.number, model): (t.person, t.vector.tobytes()) for model in (MODEL, OTHER) for t in store.vectors(model)}
    results = {
        name: found for op in ("enroll", "suspend", "revoke") for p in PEOPLE if (found := store.result(name := f"{op} {p}")) is not None
    }
    return Truth(
        {},
        {p.person: p for p in store.people()},
        templates,
        served,
        {p: -1.0 if (last := store.last_issued(p)) is None else last for p in PEOPLE},
        results,
        [(m.topic, m.payload, m.valid_until) for m in outbox(store)],
        followable(store),
    )


def followable(store: Store) -> list[Place]:
    """The chain's places, or none where it says that it is broken."""
    try:
        first = store.audit.verify().first
        return [first, *followed(first, store.audit.rows(first.number))]
    except (AuditError, StoreError) as error:
        assert "\n" not in error.message and "\n" not in error.hint
        return []


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(0o700)
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        path.chmod(0o600)


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def need_the_same_or_less(seen: Truth, truth: Truth) -> None:
    assert seen.people.items() <= truth.people.items(), "somebody is different"
    assert seen.templates.items() <= truth.templates.items(), "a template is different"
    assert seen.served.items() <= truth.served.items(), "a vector that serves is different"
    assert all((number, model) in seen.served for number, t in seen.templates.items() for model, _ in t[1]), "and yet it does not serve"
    assert all(t[0] in seen.people for t in seen.served.values()), "nobody vouches for it"
    assert all(seen.orders[p] >= truth.orders[p] for p in PEOPLE), "an old command would come to life"
    assert seen.results.items() <= truth.results.items(), "an answer is different"
    left = iter(truth.waiting)
    assert all(message in left for message in seen.waiting), "a message is different, or out of order"
    assert seen.audit == truth.audit[: len(seen.audit)], "a chain that is said to be whole is another"


def outcome(folder: Path, truth: Truth, read_only: bool) -> str:
    try:
        store = open_store(folder, read_only)
    except (StoreError, VaultError) as error:
        assert "\n" not in error.message and "\n" not in error.hint
        return "refused"
    try:
        seen = look(store)
        store.templates()
        damage = store.damage()
    except (StoreError, VaultError):
        return "refused"
    finally:
        store.close()
    need_the_same_or_less(seen, truth)
    if not read_only:  # whatever is damaged, the daemon goes on recording
        store = open_store(folder)
        try:
            with store.transaction():
                store.audit.append(300.0, CommandAnswered("north", None, "ping", "done", None, None, 0))
            assert bool(followable(store)) == bool(seen.audit), "a break is forgotten, or made"
        except StoreError:  # a page that cannot be written to: the gate is closed
            return "refused"
        finally:
            store.close()
    whole = seen.people == truth.people and seen.templates == truth.templates
    assert whole == (not damage.people and not damage.templates), f"damage that nobody is told of: {damage}"
    return ("whole" if whole else "fewer") + (
        "" if seen.audit == truth.audit else ", chain broken" if not seen.audit else ", chain shorter"
    )


def sampled(files: dict[str, bytes], count: int) -> list[tuple[str, int]]:
    """Bits of every page of every file in turn."""
    drawn = random.Random(5)
    pages = [(name, start, min(start + PAGE, len(content))) for name, content in files.items() for start in range(0, len(content), PAGE)]
    picked = []
    for number in range(count):
        name, start, end = pages[number % len(pages)]
        picked.append((name, drawn.randrange(8 * start, 8 * end)))
    return picked


def test_nothing_flipped_changes_nothing(truth: Truth, tmp_path: Path) -> None:
    lay_out(tmp_path / "state", truth.files)
    assert outcome(tmp_path / "state", truth, read_only=False) == "whole"
    store = open_store(tmp_path / "state")
    seen = look(store)
    store.close()
    assert (seen.orders, seen.results, seen.waiting) == (truth.orders, truth.results, truth.waiting)
    assert len(truth.audit) == len(PEOPLE) + 2 + len(REVOKED) + 10 + 1 and seen.audit[: len(truth.audit)] == truth.audit


def test_a_flipped_bit_lets_nobody_in(truth: Truth, tmp_path: Path) -> None:
    counted: Counter[tuple[str, str]] = Counter()
    for name, bit in sampled(truth.files, FLIPS // 2):
        lay_out(tmp_path / "state", {**truth.files, name: flipped(truth.files[name], bit)})
        try:
            seen = outcome(tmp_path / "state", truth, read_only=bit % 5 == 0)
        except Exception as error:
            raise AssertionError(f"bit {bit} of {name}: {error!r}") from error
        counted[name, seen] += 1
    print(f"\n{FLIPS // 2} flips:", {" ".join(key): count for key, count in sorted(counted.items())})  # noqa: T201  (pytest -s)
    if FLIPS >= 600 and "gallery.sqlite-wal" not in truth.files:
        assert all(counted["gallery.sqlite", seen] for seen in ("refused", "fewer", "whole", "whole, chain broken"))
    assert not counted["key", "fewer"]
