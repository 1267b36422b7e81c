"""Recordings frame by frame."""

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.config import GateConfig
from daemon.core.values import Frame, Image
from daemon.edges.camera import Camera, CameraError, open_camera
from daemon.edges.camera.recording import natural


def picture(value: int, size: tuple[int, int] = (48, 64)) -> Image:
    image = np.full((*size, 3), value % 256, np.uint8)
    image[: size[0] // 2, :, 0] = 255 - value % 256
    return image


def frames_of(camera: Camera) -> list[Frame]:
    found = []
    try:
        while (frame := camera.read(1.0)) is not None or camera.state != "ended":
            if frame is not None:
                found.append(frame)
    finally:
        camera.close()
    return found


def state_of(camera: Camera) -> str:
    """The state, to a type checker that remembers what an earlier assertion said of it."""
    return camera.state


# ---- recordings


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for i in range(10):
        writer.write(picture(20 * i))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    for i in range(12):
        cv2.imwrite(str(path / f"frame-{i}.png"), picture(20 * i))
    (path / "notes.txt").write_text("no picture")
    return path


def test_a_video_gives_every_frame_with_times_from_its_own_rate(video: Path) -> None:
    camera = open_camera("north", GateConfig(source=str(video), fps=99))
    assert camera.state == "up" and not camera.live and camera.detail is None
    frames = frames_of(camera)
    assert [f.number for f in frames] == list(range(10))
    assert [f.at_s for f in frames] == pytest.approx([n / 20 for n in range(10)])
    assert [f.captured_at for f in frames] == [f.at_s for f in frames]
    for i, frame in enumerate(frames):
        assert frame.gate == "north" and frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous and abs(int(frame.image[40, 5, 1]) - 20 * i) < 12
    assert state_of(camera) == "ended" and camera.read(0.0) is None and not camera.dropped


def test_the_same_recording_twice_is_the_same(video: Path) -> None:
    a, b = (frames_of(open_camera("g", GateConfig(source=str(video)), start_s=5.0, start_wall=1e9)) for _ in range(2))
    one, other = ([(f.number, f.at_s, f.captured_at, f.image.tobytes()) for f in frames] for frames in (a, b))
    assert one == other
    assert a[0].at_s == 5.0 and a[0].captured_at == 1e9


def test_a_folder_is_sorted_as_people_count(folder: Path) -> None:
    camera = open_camera("g", GateConfig(source=str(folder), fps=4))
    frames = frames_of(camera)
    assert [int(f.image[40, 0, 1]) for f in frames] == [20 * i for i in range(12)]
    assert frames[-1].at_s == 11 / 4


TABLE = "file,number,at_s,captured_at\nframe-2.png,7,100.5,1700000000.25\nframe-10.png,9,101.0,1700000000.75\n"


def test_a_table_beside_the_pictures_says_which_and_when(folder: Path) -> None:
    (folder / "frames.csv").write_text(TABLE)
    camera = open_camera("north", GateConfig(source=str(folder)), start_s=5.0)
    frames = frames_of(camera)
    assert [(frame.number, frame.at_s, frame.captured_at) for frame in frames] == [(7, 5.0, 1700000000.25), (9, 5.5, 1700000000.75)]
    now = open_camera("north", GateConfig(source=str(folder)), clock=lambda: 9.0, start_s=5.0, start_wall=50.0, paced=True)
    assert [(frame.at_s, frame.captured_at) for frame in frames_of(now)] == [(5.0, 50.0), (5.5, 50.5)]


@pytest.mark.parametrize("table", ["file,number\nframe-2.png,7\n", TABLE.replace("101.0", "soon"), TABLE.replace("101.0", "nan"), "\xff"])
def test_a_table_that_cannot_be_read_says_so(folder: Path, table: str) -> None:
    (folder / "frames.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(CameraError, match=r"frames\.csv") as caught:
        open_camera("north", GateConfig(source=str(folder)))
    assert "ostiaryd record --plain" in caught.value.hint


def test_a_broken_picture_is_counted_and_keeps_its_number(folder: Path) -> None:
    (folder / "frame-3.png").write_bytes(b"\x89PNG broken")
    camera = open_camera("g", GateConfig(source=str(folder)))
    frames = frames_of(camera)
    assert [f.number for f in frames] == [0, 1, 2, *range(4, 12)] and camera.dropped == {"corrupt": 1}


def test_one_picture_is_a_recording_too(folder: Path) -> None:
    assert len(frames_of(open_camera("g", GateConfig(source=str(folder / "frame-7.png"))))) == 1


def test_grey_and_transparent_pictures_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((8, 8, 4), 77, np.uint8))
    assert [f.image.shape for f in frames_of(open_camera("g", GateConfig(source=str(tmp_path))))] == [(8, 8, 3)] * 2


def test_a_photo_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: the camera was held a quarter turn; the picture's top is at the right of the stored pixels."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:, :30] = 255
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    image = frames_of(open_camera("g", GateConfig(source=str(tmp_path))))[0].image
    assert image.shape == (60, 40, 3) and image[5].min() > 240 and image[55].max() < 15


def test_a_gif_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "walk.gif"
    images = pytest.importorskip("PIL.Image")
    shots = [images.fromarray(picture(60 * i)) for i in range(4)]
    shots[0].save(path, save_all=True, append_images=shots[1:], duration=100)
    frames = frames_of(open_camera("g", GateConfig(source=str(path))))
    assert len(frames) == 4 and frames[1].at_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "no such file or folder"),
        ("broken.mp4", "not a video"),
        ("empty.mp4", "not a video"),
        ("empty", "no pictures"),
        ("unreadable", "none of its pictures"),
        ("broken.png", "none of its pictures"),
        ("none.png", "no such file or folder"),
    ],
)
def test_recordings_that_cannot_be_read_say_so(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, message: str) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "1.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(CameraError, match=message) as caught:
        open_camera("g", GateConfig(source=str(tmp_path / name)))
    assert caught.value.hint and "\n" not in caught.value.message
    assert capfd.readouterr().err == "", "the message says it all; the library keeps quiet"


def paced(source: Path, fps: float = 25.0) -> Camera:
    return open_camera("g", GateConfig(source=str(source), fps=fps), start_s=time.monotonic(), start_wall=time.time(), paced=True)


def test_a_paced_recording_plays_at_its_own_rate_with_the_time_of_now(video: Path) -> None:
    began, began_wall = time.monotonic(), time.time()
    frames = frames_of(paced(video))
    assert 0.43 < time.monotonic() - began < 2
    assert began <= frames[0].at_s < began + 0.3 and began_wall <= frames[0].captured_at < began_wall + 0.3
    assert [f.at_s - frames[0].at_s for f in frames] == pytest.approx([n / 20 for n in range(10)])


def test_a_slow_reader_gets_every_frame_of_a_paced_recording(video: Path) -> None:
    camera = paced(video)
    seen = []
    while (frame := camera.read(1.0)) is not None or camera.state != "ended":
        if frame is not None:
            seen.append(frame.number)
        time.sleep(0.07)
    camera.close()
    assert seen == list(range(10)) and not camera.dropped


def test_a_paced_recording_answers_none_while_its_next_frame_is_not_due(folder: Path) -> None:
    camera = paced(folder, fps=2)
    assert camera.read(1.0) is not None
    began = time.monotonic()
    assert camera.read(0.05) is None and camera.state == "up" and time.monotonic() - began < 0.3
    second = camera.read(1.0)
    assert second is not None and second.number == 1
    closer = threading.Timer(0.1, camera.close)
    closer.start()
    began = time.monotonic()
    assert camera.read(5.0) is None and time.monotonic() - began < 0.4
    closer.join()
    assert state_of(camera) == "ended"


def test_natural_order() -> None:
    names = ["10.png", "9.png", "a2b10", "a2b9", "a10", "img1", "2.png", "²x"]
    assert [p.name for p in sorted(map(Path, names), key=natural)] == ["2.png", "9.png", "10.png", "a2b9", "a2b10", "a10", "img1", "²x"]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_camera_that_hangs_turned_gives_upright_frames(tmp_path: Path, degrees: int) -> None:
    upright = picture(40)
    upright[:8, :8] = (0, 0, 250)
    hung = np.rot90(upright, degrees // 90)  # what a camera that hangs turned clockwise sees is turned the other way
    cv2.imwrite(str(tmp_path / "1.png"), hung)
    camera = open_camera("north", GateConfig(source=str(tmp_path), rotate=degrees))  # type: ignore[arg-type]
    assert not camera.live and camera.state == "up" and camera.detail is None and not camera.dropped
    (frame,) = frames_of(camera)
    assert np.array_equal(frame.image, upright) and frame.image.flags.c_contiguous
