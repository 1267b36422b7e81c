"""The model that comes along: what it is, what it sees, and that a damaged one is not used."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.config import Config, GateConfig
from daemon.core.faces.align import align
from daemon.core.faces.visibility import VisibilityError, judge, read_card
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Image, Quality
from daemon.demo.frames import enrolment_photo, walking
from daemon.edges.detector import Detector, open_detector
from daemon.edges.visibility import DEFAULT, Visibility, open_visibility
from daemon.pipeline.opening import open_judge
from daemon.pipeline.photos import enrolment_crop

CONFIG = Config(site="hq", gates={"north": GateConfig(source="x")})


@pytest.fixture(scope="module")
def sees() -> Visibility:
    return open_visibility()


@pytest.fixture(scope="module")
def haar() -> Detector:
    return open_detector("haar")


def test_the_file_is_small_and_its_card_says_what_it_is(sees: Visibility) -> None:
    card = read_card(sees.session.get_modelmeta().custom_metadata_map["ostiary_visibility"])
    assert DEFAULT.stat().st_size < 1_000_000 and "research" in card.licence and len(card.data_digest) == 64
    kinds = {figure.kind: figure for figure in card.figures}
    assert kinds["as it is"].covered < 0.02 and kinds["as it is"].not_upright < 0.01
    assert all(kinds[f"turned by {degrees}"].not_upright > 0.95 for degrees in (90, 180, 270))


def test_every_crop_gets_the_same_answer_alone_and_in_a_batch(sees: Visibility) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (5, 112, 112, 3), np.uint8)
    together = sees(crops)
    assert together.shape == (5, 6) and together.dtype == np.float32
    assert together == pytest.approx(np.concatenate([sees(crop[None]) for crop in crops]), abs=1e-5)
    assert together[:, :4].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_model_that_is_missing_damaged_or_another_one_is_not_used(tmp_path: Path, data: bytes = DEFAULT.read_bytes()) -> None:
    def refused(name: str, content: bytes | None, message: str) -> None:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(VisibilityError, match=message):
            open_visibility(path)

    refused("missing.onnx", None, "cannot read the model")
    refused("short.onnx", data[: len(data) // 2], "not a model that can be loaded")
    bundle = DEFAULT.with_name("faces.onnx").read_bytes()
    refused("bundle.onnx", bundle, "has no card")
    middle = bytearray(data)
    for place in range(len(data) // 3, len(data) // 3 + 4000):
        middle[place] ^= 0x3C
    refused("changed.onnx", bytes(middle), r"golden check failed|not a model")


def test_what_fails_while_it_runs_is_said(sees: Visibility) -> None:
    with pytest.raises(VisibilityError, match="the model of visibility failed"):
        sees(np.zeros((1, 50, 50, 3), np.uint8))


# ---- the demo's portraits: the only faces that may be in this repository


@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_portraits_are_upright_and_open_all_along_a_walk(haar: Detector, sees: Visibility, name: str) -> None:
    found = []
    for number in range(12, 60, 4):
        image = walking(name, number, 5).image
        found += [judge(sees(align(image, face)[None])[0]) for face in haar.detect(image)[:1]]
    assert len(found) > 8 and found.count(Quality.OK) >= len(found) - 1


def covered(image: Image, detector: Detector, draw: Callable[[Image, tuple[int, int, int]], None]) -> Image:
    image, face = image.copy(), detector.detect(image)[0]
    x, y = face.box.centre
    draw(image, (round(x), round(y), round(face.box.side)))
    return image


def mask(image: Image, at: tuple[int, int, int]) -> None:
    x, y, side = at
    cv2.rectangle(image, (x - side // 2, y + side // 10), (x + side // 2, y + side * 3 // 4), (200, 160, 120), -1)


def sunglasses(image: Image, at: tuple[int, int, int]) -> None:
    x, y, side = at
    for place in (-1, 1):
        cv2.ellipse(image, (x + place * side // 5, y - side // 9), (side // 6, side // 8), 0, 0, 360, (20, 20, 20), -1)


@pytest.mark.parametrize("draw", [mask, sunglasses])
@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_a_covered_portrait_enrols_nobody(haar: Detector, name: str, draw: Callable[[Image, tuple[int, int, int]], None]) -> None:
    image = np.asarray(cv2.imdecode(np.frombuffer(enrolment_photo(name), np.uint8), cv2.IMREAD_COLOR), np.uint8)
    faces = open_judge(CONFIG, 50)
    enrolment_crop(jpeg(image), 1, haar, faces)
    with pytest.raises(EnrolError, match=r"covered|no_face"):
        enrolment_crop(jpeg(covered(image, haar, draw)), 1, haar, faces)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_on_its_side_is_turned_before_it_enrols(haar: Detector, quarters: int) -> None:
    image = np.asarray(cv2.imdecode(np.frombuffer(enrolment_photo("collins"), np.uint8), cv2.IMREAD_COLOR), np.uint8)
    faces = open_judge(CONFIG, 50)
    upright = enrolment_crop(jpeg(image), 1, haar, faces)
    turned = enrolment_crop(jpeg(np.ascontiguousarray(np.rot90(image, quarters))), 1, haar, faces)
    assert np.abs(turned.astype(int) - upright).mean() < 9, "a cascade's box is not to the pixel"


@pytest.mark.data
def test_an_upside_down_photo_gives_the_crop_of_the_upright_one(data_dir: Path, cases_dir: Path) -> None:
    yunet, faces = open_detector(str(data_dir / "models/yunet.onnx")), open_judge(CONFIG, 50)
    upright, turned = (
        enrolment_crop((cases_dir / "turned" / name).read_bytes(), 1, yunet, faces) for name in ("upright.jpg", "upside_down_no_exif.jpg")
    )
    assert np.abs(turned.astype(int) - upright).mean() < 6


def jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
