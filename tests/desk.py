"""A desk without a camera or a model: pictures whose brightness says who is in them. Store and gallery are real."""

import base64
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from daemon.app import load_gallery
from daemon.commands import Desk
from daemon.core.boxes import Box
from daemon.core.enrol import Standards
from daemon.core.quality import Limits
from daemon.core.values import Face, Image
from daemon.edges.gallery import Gallery
from daemon.edges.store import Store
from daemon.model import Model
from daemon.pipeline import Thresholds

NOW = 1_800_000_000.0
DIMENSION = 8
LIMITS = Limits(min_face_px=20, min_sharpness=0.0, min_brightness=0.0, max_brightness=256.0, max_yaw=1.0)


@dataclass
class PaintedDetector:
    """Finds a face for every bright column block of the picture's top row: one in `painted`, none in a black picture."""

    def detect(self, image: Image) -> list[Face]:
        lit = image[0, :, 0] > 60
        edges = np.flatnonzero(np.diff(np.concatenate([[0], lit.astype(int), [0]])))
        return [Face(Box(float(a), 0.0, float(b - a), float(image.shape[0])), 1.0) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@dataclass
class PaintedEmbedder:
    """A vector that turns with the brightness in the middle of the crop: the same brightness, the same person.

    A mirrored one turns the other way: whoever compares its vectors with the other's takes a face of 100 for one of 155.
    """

    mirrored: bool = False

    def embed(self, crops: np.ndarray) -> np.ndarray:
        angle = crops[:, 50:70, 50:70].astype(np.float64).mean((1, 2, 3)) / 255 * np.pi
        angle = np.pi - angle if self.mirrored else angle
        vectors = np.zeros((len(crops), DIMENSION), np.float32)
        vectors[:, 0], vectors[:, 1] = np.cos(angle), np.sin(angle)
        return vectors


def painted(*people: int) -> bytes:
    """A JPEG with one block of that brightness (70 to 255) per person, black between them."""
    image = np.zeros((100, 140 * max(1, len(people)), 3), np.uint8)
    for place, brightness in enumerate(people):
        image[:, 140 * place + 20 : 140 * place + 120] = brightness
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


STANDARDS = Standards(alike=0.95, known=0.96, same=0.99, max_templates=4)
THRESHOLD = 0.98


class NoThreshold:
    """The calibration of a card that can say nothing."""

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        return None

    def pair_threshold(self, fmr: float) -> float | None:
        return None

    def claim_threshold(self, target_fmr: float) -> float | None:
        return None


def model(ident: str, mirrored: bool = False, calibration: Thresholds | None = None) -> Model:
    return Model(ident, PaintedEmbedder(mirrored), "cpu", DIMENSION, calibration or NoThreshold(), STANDARDS)


MODELS = {"painted-1": model("painted-1"), "painted-2": model("painted-2", mirrored=True)}


def desk(store: Store, gallery: Gallery | None = None, grants: frozenset[str] = frozenset()) -> Desk:
    """With everybody who is in the store, as a start of the daemon finds them: with the model that is noted there, or else the first."""
    serving = MODELS[store.serving() or "painted-1"]
    loaded, people, _ = load_gallery(store, serving)
    return Desk(
        store=store,
        gallery=gallery or loaded,
        people=people,
        embedder=serving.embedder,
        detector=PaintedDetector(),
        limits=LIMITS,
        model=serving.id,
        standards=STANDARDS,
        threshold=lambda templates: THRESHOLD,
        grants=grants,
        schedules=frozenset({"office"}),
    )


def at(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()


def command(
    op: str, person: str | None = None, images: list[bytes] | None = None, *,
    issued: float = 0.0, life: float = 60.0, now: float = NOW, **more: Any,
) -> bytes:  # fmt: skip
    """A payload as a client would send it, issued so many seconds after `now`."""
    times = {"issued_at": at(now + issued), "expires_at": at(now + issued + life)}
    body: dict[str, Any] = {"command_id": str(uuid.uuid4()), "op": op, **times, **more}
    if person is not None:
        body["person"] = person
    if images is not None:
        body["images"] = [base64.b64encode(image).decode() for image in images]
    return json.dumps(body).encode()


def tables(folder: Path) -> list[str]:
    """Everything the store holds about people, as text, to see that nothing changed. The audit chain grows with every answer."""
    import sqlite3

    with sqlite3.connect(f"file:{folder / 'gallery.sqlite'}?mode=ro", uri=True) as db:
        rows = [repr(row) for table in ("people", "templates", "vectors", "orders") for row in db.execute(f"SELECT * FROM {table}")]
        rows += [repr(row) for row in db.execute("SELECT * FROM meta WHERE key != 'audit'")]
    db.close()
    return rows
