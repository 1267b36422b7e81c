"""Faces made of colour: red says whose, green which picture of them. A desk that knows them in a moment, and what it must know."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from daemon.commands.desk import Desk
from daemon.core.people.enrol import Standards
from daemon.core.values import Template
from daemon.edges.gallery import Gallery
from daemon.edges.store import Store, open_store
from daemon.pipeline.model import Model
from tests.fixtures.desk import DirectDesk, NoThreshold, current, fixed

DIMENSION = 64
FACES, PICTURES = 30, 6
KEEP = 4
STANDARDS = Standards(alike=0.7, known=0.8, same=0.95, max_templates=KEEP)
THRESHOLD = 0.9


def _units(*shape: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(*shape, DIMENSION))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True))


def _vectors() -> np.ndarray:
    vectors = _units(FACES, 1, seed=1) + 0.25 * _units(FACES, PICTURES, seed=2)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


VECTORS = _vectors()
"""float32 [FACES, PICTURES, DIMENSION]: what the embedder makes of each picture of each face."""


def picture(face: int, number: int) -> bytes:
    """A JPEG file that shows one face."""
    image = np.zeros((100, 140, 3), np.uint8)
    image[:, 20:120] = (128, 70 + 30 * number, 70 + 6 * face)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


@dataclass
class ColourEmbedder:
    """Reads face and picture out of the middle of a crop."""

    def embed(self, crops: np.ndarray) -> np.ndarray:
        colour = crops[:, 50:70, 50:70].astype(np.float64).mean((1, 2))
        faces = np.rint((colour[:, 0] - 70) / 6).astype(int).clip(0, FACES - 1)
        numbers = np.rint((colour[:, 1] - 70) / 30).astype(int).clip(0, PICTURES - 1)
        return np.asarray(VECTORS[faces, numbers])


MODEL = Model("colours-1", ColourEmbedder(), "cpu", DIMENSION, NoThreshold(), STANDARDS)


def open_desk(folder: Path) -> Desk:
    """Store, gallery and desk as the daemon's start makes them. The caller closes the store."""
    return desk_of(open_store(folder))


def desk_of(store: Store) -> Desk:
    memory = current(store, {"painted-1": MODEL}, fixed(THRESHOLD))
    assert not memory.serving.left_out and not store.damage()
    grants, gates = frozenset({"force", "replace", "capture"}), frozenset({"north", "south"})
    return DirectDesk(store, memory, grants=grants, gates=gates)


@dataclass(frozen=True)
class Known:
    """What must be known of one person: the pictures by face and number, in the order they came."""

    face: int
    pictures: tuple[int, ...]
    suspended: bool = False
    name: str | None = None


@dataclass
class Oracle:
    """Everybody who must be there. A dictionary, and rules of one line each."""

    known: dict[str, Known] = field(default_factory=dict)

    def apply(self, op: str, person: str, more: dict[str, Any]) -> None:
        before, pictures = self.known.get(person), tuple(dict.fromkeys(more.get("pictures", ())))
        match op:
            case "enroll" if before is None or more["replace"]:
                suspended, name = (False, None) if before is None else (before.suspended, before.name)
                self.known[person] = Known(more["face"], pictures, suspended, more["name"] or name)
            case "enroll":
                assert before is not None
                added = tuple(number for number in pictures if number not in before.pictures)  # the same picture is one template
                self.known[person] = replace(before, pictures=before.pictures + added, name=more["name"] or before.name)
            case "suspend" | "resume":
                assert before is not None
                self.known[person] = replace(before, suspended=op == "suspend")
            case "update":
                assert before is not None
                self.known[person] = replace(before, name=more["name"])
            case "revoke":
                self.known.pop(person, None)

    def vectors(self) -> dict[str, np.ndarray]:
        return {person: VECTORS[k.face, list(k.pictures)] for person, k in self.known.items()}


def vector_of(template: Template) -> np.ndarray:
    """What the colour model made of it."""
    assert set(template.vectors) == {MODEL.id}
    return template.vectors[MODEL.id]


def need_equal(desk: Desk, oracle: Oracle) -> None:
    """Records, templates, and what a search finds, are exactly the oracle's."""
    records = {p.person: (p.suspended, p.name) for p in desk.store.people()}
    assert records == {p: (k.suspended, k.name) for p, k in oracle.known.items()}, "records"
    assert {p: (r.suspended, r.name) for p, r in desk.current.people.items()} == records, "records in memory"
    stored: dict[str, list[bytes]] = {}
    for template in desk.store.templates():
        assert template.crop[:4] == b"\x89PNG"
        stored.setdefault(template.person, []).append(vector_of(template).tobytes())
    expected = oracle.vectors()
    assert stored == {p: [v.tobytes() for v in vectors] for p, vectors in expected.items()}, "templates"
    assert desk.store.template_counts() == {p: len(v) for p, v in expected.items()}, "template rows"
    need_same_answers(desk.current.serving.gallery, expected, VECTORS[:, 0])
    assert not desk.store.damage()


def need_same_answers(gallery: Gallery, expected: dict[str, np.ndarray], probes: np.ndarray) -> None:
    """The gallery's answers to float32 [N, D] against numpy over everybody's vectors: who is best, how near, and the best of all others."""
    assert gallery.templates == sum(map(len, expected.values())) and gallery.people == len(expected)
    for probe, match in zip(probes, gallery.search(probes), strict=True):
        best = {person: float((vectors @ probe).max()) for person, vectors in expected.items()}
        if not best:
            assert match.person is None
            continue
        nearest = max(best, key=lambda person: best[person])
        assert match.person is not None and abs(best[match.person] - best[nearest]) < 1e-5
        rest = max((s for p, s in best.items() if p != match.person), default=-1.0)
        assert abs(match.similarity - best[nearest]) < 1e-5 and abs(match.rival - rest) < 1e-5
