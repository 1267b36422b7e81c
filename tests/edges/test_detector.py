"""The detectors on real pictures: recall with a floor, places of landmarks, and files that are no detector."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.config import GateConfig, QualityConfig
from daemon.core.attention import Attention, Region
from daemon.core.boxes import Box, iou
from daemon.core.faces.align import BOX_CENTRE, CROP_PX, TEMPLATE, align, box_transform, similarity_transform
from daemon.core.faces.quality import Limits, judge
from daemon.core.values import Face, Image, Quality
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import Detector, DetectorError, Finder, open_detector
from daemon.edges.detector.cascade import levelled, one_per_face
from daemon.edges.detector.yunet import OVERLAP, SCORE, open_yunet

Q = QualityConfig()
LIMITS = Limits(40, Q.min_sharpness, Q.min_brightness, Q.max_brightness, Q.max_yaw, Q.min_upright, Q.max_covered)


@pytest.fixture(scope="module")
def haar() -> Detector:
    return open_detector("haar")


@pytest.fixture(scope="module")
def yunet(data_dir: Path) -> Detector:
    return open_detector(str(data_dir / "models" / "yunet.onnx"))


@pytest.fixture(scope="module")
def portraits(data_dir: Path) -> list[Image]:
    """Every third whole LFW picture, 250×250, one face in the middle of each and strangers behind some."""
    with zipfile.ZipFile(data_dir / "frames" / "lfw_raw.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))[::3]
        return [np.asarray(cv2.imdecode(np.frombuffer(archive.read(n), np.uint8), cv2.IMREAD_COLOR), np.uint8) for n in names]


@pytest.fixture(scope="module")
def astronaut() -> Image:
    """scikit-image's portrait of Eileen Collins, 512×512, BGR; it comes inside the package."""
    skimage_data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(skimage_data.astronaut()[:, :, ::-1], np.uint8)


def in_the_middle(faces: list[Face], size: int = 250) -> Face | None:
    for face in faces:
        x, y = face.box.centre
        if abs(x - size / 2) < 0.15 * size and abs(y - size / 2) < 0.15 * size:
            return face
    return None


def test_haar_finds_the_astronaut_once(haar: Detector, astronaut: Image) -> None:
    faces = haar.detect(astronaut)
    assert len(faces) == 1
    x, y = faces[0].box.centre
    assert abs(x - 224) < 12 and abs(y - 115) < 15 and 80 < faces[0].box.side < 150
    assert faces[0].square and faces[0].score > 0
    assert [face.box for face in haar.detect(astronaut)] == [face.box for face in faces], "the same picture, the same answer"


@pytest.mark.parametrize("light", [0.15, 0.4, 1.0])
def test_haar_sees_in_the_dark(haar: Detector, astronaut: Image, light: float) -> None:
    assert len(haar.detect(np.asarray(astronaut * light, np.uint8))) == 1


@pytest.mark.parametrize("size", [(1080, 1920), (720, 1280), (1000, 700)])
def test_boxes_of_large_frames_are_in_the_frame_s_pixels(haar: Detector, astronaut: Image, size: tuple[int, int]) -> None:
    small = haar.detect(astronaut)[0]
    frame = np.full((*size, 3), 90, np.uint8)
    frame[100:612, 120:632] = astronaut
    found = haar.detect(frame)
    assert len(found) == 1
    assert found[0].box.centre == pytest.approx((small.box.centre[0] + 120, small.box.centre[1] + 100), abs=6)


def test_small_faces_are_left_out(astronaut: Image) -> None:
    assert open_detector("haar", min_face_px=200).detect(astronaut) == []


@pytest.mark.parametrize("fill", [0, 128, 255])
def test_nothing_is_nowhere(haar: Detector, fill: int) -> None:
    assert haar.detect(np.full((480, 640, 3), fill, np.uint8)) == []
    assert haar.detect(np.full((8, 8, 3), fill, np.uint8)) == []


def test_one_curve_for_the_whole_picture_keeps_the_order_of_greys() -> None:
    ramp = np.repeat(np.arange(20, 60, dtype=np.uint8)[None], 4, axis=0)
    out = levelled(ramp)
    assert out.dtype == np.uint8 and (np.diff(out[0].astype(int)) >= 0).all() and out.min() < 10 and out.max() > 245
    assert len(np.unique(levelled(np.full((9, 9), 70, np.uint8)))) == 1


def test_faces_that_are_not_numbers_never_pass_and_the_order_is_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    nan = float("nan")
    points = np.zeros((5, 2), np.float32)
    bad = points.copy()
    bad[3, 1] = np.inf
    found = [
        Face(Box(0, 0, 50, 50), 1.0, points),
        Face(Box(nan, 0, 50, 50), 1.0),
        Face(Box(0, 0, -50, -50), 1.0),
        Face(Box(0, 0, 50, 50), nan),
        Face(Box(0, 0, 90, 90), 1.0, bad),
        Face(Box(60, 0, 70, 70), 1.0),
        Face(Box(5, 0, 70, 70), 1.0),
    ]
    faces = Detector(Finder(lambda image, smallest_px: found, 40, 640), 40).detect(np.zeros((100, 100, 3), np.uint8))
    assert [(f.box.x, f.box.width) for f in faces] == [(5, 70), (60, 70), (0, 50)]


def test_a_head_found_twice_is_one_face() -> None:
    inner, outer, beside = Face(Box(20, 20, 45, 45), 8.0), Face(Box(12, 15, 62, 62), 3.0), Face(Box(60, 20, 40, 40), 2.0)
    assert one_per_face([outer, beside, inner]) == [inner, beside]


# ---- files that are no detector


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="no such detector file") as caught:
        open_detector(str(tmp_path / "none.onnx"))
    assert caught.value.hint


def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("not a network")
    with pytest.raises(DetectorError, match="not a YuNet file") as caught:
        open_detector(str(path))
    assert "\n" not in caught.value.message


@pytest.mark.data
def test_another_network_says_so(data_dir: Path) -> None:
    with pytest.raises(DetectorError, match="not a YuNet file"):
        open_detector(str(data_dir / "models" / "mobilefacenet.onnx"))


# ---- figures on real faces


@pytest.mark.data
def test_recall_and_false_boxes(haar: Detector, yunet: Detector, portraits: list[Image]) -> None:
    """Measured on all 296: Haar 100 % and 1 false box, YuNet 100 %."""
    seen = {"haar": 0, "yunet": 0}
    false = 0
    for picture in portraits:
        a, b = haar.detect(picture), yunet.detect(picture)
        seen["haar"] += in_the_middle(a) is not None
        seen["yunet"] += in_the_middle(b) is not None
        false += sum(not any(iou(x.box, y.box) > 0.2 for y in b) for x in a)
    assert seen["haar"] >= 0.97 * len(portraits) and seen["yunet"] >= 0.98 * len(portraits)
    assert false <= 0.04 * len(portraits)


@pytest.mark.data
def test_landmarks_lie_in_haar_s_box_in_the_order_of_the_template(haar: Detector, yunet: Detector, portraits: list[Image]) -> None:
    places, scales, both = [], [], 0
    for picture in portraits:
        a, b = in_the_middle(haar.detect(picture)), in_the_middle(yunet.detect(picture))
        if a is None or b is None:
            continue
        assert b.landmarks is not None and b.landmarks.shape == (5, 2) and b.landmarks.dtype == np.float32
        both += 1
        matrix = box_transform(a.box)
        points = np.hstack([b.landmarks, np.ones((5, 1))]) @ matrix.T
        places.append(points)
        left, right, nose, mouth_left, mouth_right = points
        assert left[0] < right[0] and mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] + 4 and nose[1] < min(mouth_left[1], mouth_right[1]) + 4
        by_points = similarity_transform(b.landmarks)
        scales.append((by_points @ (*a.box.centre, 1), CROP_PX / (np.hypot(by_points[0, 0], by_points[1, 0]) * a.box.side)))
    assert both >= 0.95 * len(portraits)
    assert np.median(places, axis=0) == pytest.approx(TEMPLATE, abs=3.0)
    # The constants of box alignment are these medians.
    assert np.median([place for place, _ in scales], axis=0) == pytest.approx(BOX_CENTRE, abs=1.5)


@pytest.mark.data
def test_a_mirrored_picture_gives_mirrored_landmarks(yunet: Detector, portraits: list[Image]) -> None:
    checked = 0
    for picture in portraits[:12]:
        plain, mirrored = in_the_middle(yunet.detect(picture)), in_the_middle(yunet.detect(np.ascontiguousarray(picture[:, ::-1])))
        if plain is None or mirrored is None:
            continue
        assert plain.landmarks is not None and mirrored.landmarks is not None
        back = mirrored.landmarks[[1, 0, 2, 4, 3]].copy()
        back[:, 0] = picture.shape[1] - 1 - back[:, 0]
        checked += 1
        assert np.abs(back - plain.landmarks).max() < 0.08 * plain.box.side
    assert checked >= 10


@pytest.mark.data
def test_yunet_on_a_large_frame(yunet: Detector, portraits: list[Image]) -> None:
    small = in_the_middle(yunet.detect(portraits[0]))
    assert small is not None and small.landmarks is not None
    big = yunet.detect(np.asarray(cv2.resize(portraits[0], (1250, 1250)), np.uint8))[0]
    assert big.landmarks is not None
    assert big.landmarks / 5 == pytest.approx(small.landmarks, abs=0.08 * small.box.side)


def blurred(share: float) -> Callable[[Image, Face], Image]:
    return lambda picture, face: np.asarray(cv2.GaussianBlur(picture, (0, 0), share * face.box.side), np.uint8)


def untouched(picture: Image, face: Face) -> Image:
    return picture


@pytest.mark.data
@pytest.mark.parametrize(
    ("change", "at_least", "at_most"),
    [(untouched, 0.97, 1.0), (blurred(0.06), 0.0, 0.04), (blurred(0.1), 0.0, 0.02)],
    ids=["as they are", "blurred by 6 % of the face", "by 10 %"],
)
def test_the_quality_limits_pass_faces_and_stop_blurred_ones(
    haar: Detector, portraits: list[Image], change: Callable[[Image, Face], Image], at_least: float, at_most: float
) -> None:
    # One large face fills its picture: where its crop reaches beyond, the edge is as sharp as the picture is blurred.
    passed = total = 0
    for picture in portraits:
        face = in_the_middle(haar.detect(picture))
        if face is None or face.box.side < 60:
            continue
        total += 1
        passed += judge(face, picture.shape[:2], align(change(picture, face), face), LIMITS) is Quality.OK
    assert total > 80 and at_least <= passed / total <= at_most


@pytest.mark.data
def test_a_head_that_is_cut_off_above_the_eyes_is_cut(yunet: Detector, cases_dir: Path) -> None:
    for path in sorted((cases_dir / "cut").glob("*.jpg")):
        picture = np.asarray(cv2.imread(str(path)), np.uint8)
        (face, *_) = yunet.detect(picture)
        found = judge(face, picture.shape[:2], align(picture, face), LIMITS)
        assert found is (Quality.CUT if path.stem.endswith("_cut") else Quality.OK), path.name


# ---- parts of a picture


@pytest.fixture(scope="module")
def office(data_dir: Path) -> list[Image]:
    """Every tenth frame of two gate clips, 640×480, one person in each."""
    pictures = []
    for clip in ("brother", "book"):
        camera = open_camera("g", GateConfig(source=str(data_dir / f"clips/asl/{clip}.mkv")))
        pictures += [frame.image for frame in frames_of(camera)]
    return pictures[::10]


def looking(regions: list[Region]) -> Attention:
    """An attention that looks at these regions."""

    class Looking(Attention):
        def where(self, image: Image, at_s: float) -> list[Region]:
            super().where(image, at_s)
            return regions

    return Looking(40)


@pytest.mark.data
def test_yunet_gives_the_boxes_that_opencv_gives(data_dir: Path, office: list[Image]) -> None:
    path = data_dir / "models" / "yunet.onnx"
    theirs, ours, compared = cv2.FaceDetectorYN.create(str(path), "", (320, 320), SCORE, OVERLAP), open_yunet(path), 0
    for picture in office:
        for size in ((320, 240), (640, 480), (333, 217)):
            seen = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
            theirs.setInputSize(size)
            rows = theirs.detect(seen)[1]
            expected = [] if rows is None else sorted(np.asarray(rows).tolist())
            found = sorted(ours.find(seen, 0.0), key=lambda face: face.box.x)
            assert len(found) == len(expected)
            for face, row in zip(found, expected, strict=True):
                assert face.landmarks is not None
                numbers = [face.box.x, face.box.y, face.box.width, face.box.height, *face.landmarks.reshape(-1).tolist(), face.score]
                assert numbers == pytest.approx(row, abs=1e-3)
                compared += 1
    assert compared > 30


@pytest.mark.data
@pytest.mark.parametrize(("kind", "within"), [("yunet", 0.05), ("haar", 0.2)])
def test_a_part_shows_the_face_that_the_whole_picture_shows(
    kind: str, within: float, haar: Detector, yunet: Detector, office: list[Image]
) -> None:
    detector, compared = yunet if kind == "yunet" else haar, 0
    for picture in office:
        for face in detector.detect(picture):
            room, (x, y) = face.box.side, face.box.centre
            for least_px in (40.0, 0.5 * face.box.side):
                left, top, right, bottom = (int(edge) for edge in (x - 2 * room, y - 1.5 * room, x + 1.7 * room, y + 2 * room))
                region = Region(max(0, left), max(0, top), min(640, right), min(480, bottom), least_px)
                (found,) = detector.follow(picture, 0.0, looking([region]))
                away = np.abs(np.array(found.box.centre) - face.box.centre).max()
                assert away < within * face.box.side and abs(found.box.side / face.box.side - 1) < 2 * within
                assert found.anchors is not None and face.anchors is not None
                assert np.abs(found.anchors - face.anchors).max() < 0.05 * face.box.side
                compared += 1
    assert compared > 15


@pytest.mark.data
def test_nothing_is_found_where_nobody_is_looked_for(yunet: Detector, office: list[Image]) -> None:
    assert yunet.follow(office[0], 0.0, looking([])) == []
    (face,) = yunet.detect(office[0])
    left = face.box.x > 320
    beside = Region(0, 0, 200, 480, 40) if left else Region(440, 0, 640, 480, 40)
    assert yunet.follow(office[0], 0.0, looking([beside])) == []


@pytest.mark.parametrize("region", [Region(0, 0, 1, 1, 40), Region(639, 479, 640, 480, 40), Region(0, 200, 640, 201, 300)])
def test_a_sliver_of_a_picture_is_no_error(haar: Detector, region: Region) -> None:
    assert haar.follow(np.zeros((480, 640, 3), np.uint8), 0.0, looking([region])) == []


def test_a_face_that_two_parts_show_is_found_once() -> None:
    def find(image: Image, smallest_px: float) -> list[Face]:
        rows, columns = np.nonzero(image[:, :, 1])
        return [Face(Box(float(columns.min()), float(rows.min()), 60.0, 60.0), 1.0)] if len(rows) == 60 * 60 else []

    detector = Detector(Finder(find, wanted_px=40, longest_px=960), 40)
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[200:260, 200:260] = 255
    fine, coarse = Region(100, 100, 300, 400, 40), Region(0, 0, 640, 480, 40)
    assert len(detector.follow(picture, 0.0, looking([fine, coarse]))) == 1
    for x in (-40.0, 620.0):  # the middle of a face may lie outside the picture
        lying = Detector(Finder(lambda image, smallest_px, x=x: [Face(Box(x, 200, 60, 60), 1.0)], 40, 960), 40)  # type: ignore[misc]
        assert len(lying.detect(picture)) == 1 and len(lying.follow(picture, 0.0, lying.attention())) == 1


def test_a_detector_that_answers_with_a_box_at_every_edge_searches_twice_at_most() -> None:
    asked = 0

    def find(image: Image, smallest_px: float) -> list[Face]:
        nonlocal asked
        asked += 1
        return [Face(Box(0, 0, image.shape[1], image.shape[0]), 1.0)]

    detector = Detector(Finder(find, wanted_px=40, longest_px=960), 40)
    attention, image = detector.attention(), np.full((480, 640, 3), 90, np.uint8)
    for number in range(20):
        seen = image.copy()
        seen[100:180, 100 + 8 * number : 180 + 8 * number] = 200
        before = asked
        assert len(detector.follow(seen, number / 30, attention)) <= 2
        assert asked - before <= 4
