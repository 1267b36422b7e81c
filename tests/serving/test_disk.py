"""The state of the disk: when it is tried again, and what waits for it."""

import pytest

from daemon.core.values import Delivery
from daemon.edges.store import Store, StoreError
from daemon.serving.disk import RETRY_S, Disk


def test_a_disk_that_failed_is_tried_again_now_and_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, tried = 100.0, []

    def probe(self: Store) -> None:
        tried.append(now_s)
        if now_s < 110:
            raise StoreError("database or disk is full", "look at the disk")

    monkeypatch.setattr(Store, "probe", probe)
    disk = Disk(store, lambda: now_s)
    assert disk.works and not disk.recovered() and tried == []
    disk.failed("database or disk is full")
    assert not disk.works and disk.trouble == "database or disk is full"
    recovered = []
    for tenths in range(130):
        now_s = 100 + tenths / 10
        if disk.recovered():
            recovered.append(now_s)
    assert tried == [100 + RETRY_S * n for n in range(1, 6)] and recovered == [110.0] and disk.works


def test_what_waits_for_the_disk_is_handed_out_once_in_its_order(store: Store) -> None:
    disk = Disk(store, lambda: 0.0)
    one, two = (Delivery("north", "t", b"%d" % n, False, (1, n, 1)) for n in (1, 2))
    disk.owe([one])
    disk.owe([one, two])
    assert disk.take_owed() == [one, two] and disk.take_owed() == []
