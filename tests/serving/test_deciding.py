"""What the engine embeds: one batch of what the gates want, and the same whether views come one by one or together."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.values import Face, Image, Probe, Quality, View
from daemon.edges.store import open_store
from tests.fixtures.desk import NOW, PaintedEmbedder, command, painted
from tests.fixtures.engine_site import ALICE, STRANGER, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = open_store(tmp_path)
    made = Site(store, gates=("north", "south"))
    made.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    yield made
    store.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that were embedded."""
    sizes: list[int] = []
    embed = PaintedEmbedder.embed

    def counted(self: PaintedEmbedder, crops: np.ndarray) -> np.ndarray:
        sizes.append(len(crops))
        return embed(self, crops)

    monkeypatch.setattr(PaintedEmbedder, "embed", counted)
    return sizes


def crop(brightness: int) -> Image:
    """Painted in the middle, with a frame that has contrast."""
    drawn = np.random.default_rng(brightness).integers(0, 255, (16, 16, 3), np.uint8).repeat(7, 0).repeat(7, 1)
    drawn[50:70, 50:70] = brightness
    return drawn


def views(gate: str, *shown: int, begin: int = 0) -> list[View]:
    """One face a frame, 30 frames a second."""
    return [
        View(gate, n, 100 + n / 30, NOW + 100 + n / 30, (Probe(Face(Box(100, 100, 80, 80), 1.0), crop(face), Quality.OK),))
        for n, face in enumerate(shown, begin)
    ]


def spared(site: Site, gate: str) -> float:
    value = site.engine.metrics._counters["ostiary_faces_spared_total"].labels(gate)._value.get()
    assert isinstance(value, float)
    return value


def said(site: Site) -> list[tuple[str, str, int]]:
    """The answers that stand: gate, verdict, number of the passage."""
    passages = [(gate, *each) for gate, one in site.engine.gates.items() for each in one.keeper.passages.items()]
    return [(gate, passage.ruling.verdict.value, number) for gate, number, passage in passages if passage.ruling is not None]


def test_views_of_two_gates_are_one_batch(site: Site, batches: list[int]) -> None:
    for both in zip(views("north", *[ALICE] * 8), views("south", *[STRANGER] * 8), strict=True):
        site.engine._deciding.decide(both)
    assert batches == [2] * 7 + [1], "the first has its answer"
    assert said(site) == [("north", "accept", 1), ("south", "unknown", 1)] and spared(site, "north") == 1 and not spared(site, "south")


def test_views_that_waited_together_are_decided_about_as_one_by_one(site: Site, batches: list[int], tmp_path: Path) -> None:
    shown = [ALICE] * 20 + [STRANGER] * 12
    site.engine._deciding.decide([*views("north", *shown), *views("south", *shown[:3])])
    together, sparing = said(site), spared(site, "north")
    (tmp_path / "other").mkdir(mode=0o700)
    store = open_store(tmp_path / "other")
    other = Site(store, gates=("north", "south"))
    other.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    for view in [*views("north", *shown), *views("south", *shown[:3])]:
        other.engine._deciding.decide([view])
    store.close()
    assert together == said(other) == [("north", "unknown", 2)] and sparing == spared(other, "north") > 8
    assert max(batches) == 2


def test_a_closed_gate_embeds_nothing_and_beside_it_another_does(site: Site, batches: list[int]) -> None:
    north = site.engine.gates["north"].keeper
    north.rules = replace(north.rules, threshold=None, pair=None)
    site.engine._deciding.decide([*views("north", ALICE), *views("south", ALICE)])
    assert batches == [1] and spared(site, "north") == 1
