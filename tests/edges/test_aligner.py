"""The aligner: landmarks for boxes, files that are no aligner, and figures on real faces."""

import dataclasses
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from daemon.core.boxes import Box, iou
from daemon.core.faces.align import TEMPLATE, align, placing
from daemon.core.faces.glimpse import GLIMPSE_PX, in_frame
from daemon.core.values import Face, Image
from daemon.edges.detector import DetectorError, open_detector
from daemon.edges.detector.aligner import ALIGNER, Aligner, open_aligner
from daemon.pipeline.opening import DEFAULT_BUNDLE
from tests.trainer import faces
from trainer.models.opened import onnx_embedder
from trainer.people import displace
from trainer.people.displace import Spread


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return open_aligner()


@pytest.fixture(scope="module")
def astronaut() -> Image:
    """scikit-image's portrait of Eileen Collins, 512×512, BGR; it comes inside the package."""
    skimage_data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(skimage_data.astronaut()[:, :, ::-1], np.uint8)


def away(one: Face, other: Face) -> float:
    """The mean distance of two faces' crops from each other, in pixels of the crop."""
    a, b = (in_frame(TEMPLATE.astype(np.float32), placing(face)) for face in (one, other))
    return float(np.hypot(*(a - b).T).mean() * np.hypot(*placing(other)[0, :2]))


def test_the_cascades_faces_have_landmarks_where_eyes_nose_and_mouth_are(astronaut: Image) -> None:
    (face,) = open_detector("haar").detect(astronaut)
    assert face.landmarks is None and face.anchors is not None
    assert face.anchors.shape == (5, 2) and face.anchors.dtype == np.float32
    # Read off the picture by eye. She laughs, so the corners of her mouth lie wider apart and higher than the template's.
    assert face.anchors[:3] == pytest.approx(np.array([[205, 100], [248, 102], [225, 125]]), abs=4)
    assert face.anchors[3:] == pytest.approx(np.array([[206, 140], [247, 141]]), abs=10)
    (bare,) = open_detector("haar", aligner=None).detect(astronaut)
    assert bare.anchors is None and bare.box == face.box


@pytest.mark.parametrize("degrees", [-15, 15])
def test_a_turned_head_is_cut_out_upright(astronaut: Image, degrees: float) -> None:
    turn = cv2.getRotationMatrix2D((224, 130), degrees, 1.0)
    turned = np.asarray(cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    (face,) = open_detector("haar").detect(turned)
    assert face.anchors is not None
    right = face.anchors[1] - face.anchors[0]
    assert np.degrees(np.arctan2(-right[1], right[0])) == pytest.approx(degrees, abs=4)


def test_many_faces_are_looked_at_together_and_none_is_no_call(astronaut: Image) -> None:
    aligner, calls = open_aligner(), []

    @dataclass
    class Counting:
        session: Any

        def run(self, names: Sequence[str], inputs: dict[str, np.ndarray]) -> Any:
            calls.append(inputs["glimpse"].shape)
            return self.session.run(names, inputs)

    counting = Aligner(Counting(aligner.session), aligner.card)
    (found,) = open_detector("haar", aligner=None).detect(astronaut)
    box = found.box
    other = Face(Box(box.x + 6, box.y - 5, box.width * 1.05, box.height * 1.05), 1.0)
    together = counting.place(astronaut, [found, other])
    assert calls == [(2, GLIMPSE_PX, GLIMPSE_PX)] * 2
    for face, alone in zip(together, (found, other), strict=True):
        assert away(face, aligner.place(astronaut, [alone])[0]) < 0.01
    assert away(*together) < 1.5 < away(found, other), "two boxes of one face"
    assert counting.place(astronaut, []) == [] and len(calls) == 2


# ---- files that are no aligner


def damaged(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "aligner.onnx"
    path.write_bytes(content)
    return path


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="no such aligner") as caught:
        open_aligner(tmp_path / "none.onnx")
    assert "ostiary-train aligner" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"not a network", ALIGNER.read_bytes()[:20_000]], ids=["empty", "text", "cut short"])
def test_a_file_that_is_no_model_says_so(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DetectorError, match=r"aligner\.onnx: ") as caught:
        open_aligner(damaged(tmp_path, content))
    assert "\n" not in caught.value.message and caught.value.hint


def test_another_network_says_so() -> None:
    with pytest.raises(DetectorError, match="not an aligner"):
        open_aligner(DEFAULT_BUNDLE)


def test_weights_that_were_damaged_are_found_by_the_golden_glimpses(tmp_path: Path) -> None:
    content = bytearray(ALIGNER.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    with pytest.raises(DetectorError, match="golden glimpses"):
        open_aligner(damaged(tmp_path, bytes(content)))


def test_answers_that_are_not_numbers_are_no_landmarks(astronaut: Image) -> None:
    @dataclass
    class Nothing:
        def run(self, names: Sequence[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.full((len(inputs["glimpse"]), 5, 2), np.nan, np.float32)]

    with pytest.raises(DetectorError, match="not finite"):
        Aligner(Nothing(), open_aligner().card).place(astronaut, [Face(Box(170, 60, 110, 110), 1.0)])


# ---- figures on real faces


@pytest.mark.data
def test_displaced_crops_of_people_it_never_saw_come_back(aligner: Aligner, data_dir: Path, tmp_path: Path) -> None:
    val = faces.real(data_dir, "val", tmp_path).pixels[::4]
    rng = np.random.default_rng(5)
    moves = [displace.move(Spread(), rng) for _ in val]
    truth = np.stack([TEMPLATE @ move[:2, :2].T + move[:2, 2] for move in moves])
    found = aligner.landmarks(np.stack([displace.glimpse(crop, move) for crop, move in zip(val, moves, strict=True)]))
    before, after = (float(np.hypot(*(points - truth).transpose(2, 0, 1)).mean()) for points in (TEMPLATE, found))
    assert before > 5 and after < 2.7


@pytest.mark.data
def test_faces_aligned_by_the_aligner_are_nearer_to_yunets_and_to_each_other_than_by_the_box(aligner: Aligner, data_dir: Path) -> None:
    cascade, yunet = open_detector("haar", aligner=None), open_detector(str(data_dir / "models/yunet.onnx"))
    misses, crops, person = [], [], []
    with zipfile.ZipFile(data_dir / "frames/lfw_raw.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg")):
            picture = np.asarray(cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR), np.uint8)
            bare = cascade.detect(picture)[:1]
            (face,) = aligner.place(picture, bare)
            true = max(yunet.detect(picture), key=lambda found: iou(found.box, face.box))
            misses.append((away(bare[0], true), away(face, true)))
            crops.append((align(picture, bare[0]), align(picture, face)))
            person.append(name.split("/")[0])
    by_box, by_aligner = np.mean(misses, axis=0)
    assert by_aligner < 0.7 * by_box
    embed, _ = onnx_embedder(DEFAULT_BUNDLE)
    who = np.array(person)
    same = (who[:, None] == who[None]) & ~np.eye(len(who), dtype=bool)
    alike = []
    for column in zip(*crops, strict=True):
        vectors = embed(np.stack(column))
        alike.append(float((vectors @ vectors.T)[same].mean()))
    assert alike[1] > alike[0]


def test_what_cannot_be_a_face_gets_no_anchors_and_stops_nobody(astronaut: Image) -> None:
    (face,) = open_detector("haar").detect(astronaut)
    one_point = Face(face.box, 1.0, np.full((5, 2), 100, np.float32))
    far_away = Face(face.box, 1.0, (np.asarray(face.anchors) * 1000 + 1e6).astype(np.float32))
    placed = open_aligner().place(astronaut, [one_point, dataclasses.replace(face, anchors=None), far_away])
    assert placed[0].anchors is None
    assert placed[1].anchors == pytest.approx(face.anchors, abs=1e-3)
    assert open_aligner().place(astronaut, [one_point]) == [one_point] and open_aligner().place(astronaut, []) == []
