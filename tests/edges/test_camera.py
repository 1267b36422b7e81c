"""Recordings frame by frame, and live cameras that freeze, fall silent, vanish and hang."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.config import ConfigError, GateConfig
from daemon.core.values import Frame, Image
from daemon.edges.camera import Camera, CameraError, open_camera, redacted
from daemon.edges.camera.live import Backlog, Capture, LiveCamera
from daemon.edges.camera.recording import natural

SECRET = "hunter2"


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


def wait_for(holds: Callable[[], bool], camera: Camera, seconds: float = 8.0) -> list[Frame]:
    """Read until a condition holds; the frames seen meanwhile."""
    seen, deadline = [], time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"still {camera.state}: {camera.detail}, {camera.dropped}"
        frame = camera.read(0.05)
        if frame is not None:
            seen.append(frame)
    return seen


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
        ("unreadable", "none of its 1 pictures"),
        ("broken.png", "none of its 1 pictures"),
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


# ---- live cameras over HTTP


class MjpegServer:
    """A network camera on loopback. `mode`: send new pictures, the same one (frozen), nothing (silent), or hang up (gone)."""

    def __init__(self, port: int = 0) -> None:
        self.mode = "new"
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.requests: list[bytes] = []

    def url(self, path: str = "/video") -> str:
        return f"http://guard:{SECRET}@127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self.mode = "gone"
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client = self._socket.accept()[0]
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                self.requests.append(client.recv(4096))
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=part\r\n\r\n")
                number = 0
                while self.mode != "gone":
                    if self.mode != "silent":
                        number += self.mode == "new"
                        jpeg = cv2.imencode(".jpg", picture(7 * number, (120, 160)))[1].tobytes()
                        head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        client.sendall(head.encode() + jpeg + b"\r\n")
                    time.sleep(0.03)
            except OSError:
                pass


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    server = MjpegServer()
    yield server
    server.close()


@pytest.fixture
def live(server: MjpegServer) -> Iterator[Camera]:
    camera = open_camera("north", GateConfig(source=server.url(), stale_s=0.5))
    yield camera
    server.mode = "gone"  # so that the reader thread comes back at once
    began = time.monotonic()
    camera.close()
    assert time.monotonic() - began < 2 and camera.state == "ended" and camera.read(0.1) is None
    assert not [t for t in threading.enumerate() if t.name == "camera-north"]


def test_a_live_camera_gives_frames_of_now(server: MjpegServer, live: Camera) -> None:
    assert live.live
    frames = wait_for(lambda: live.state == "up", live) + [f for _ in range(10) if (f := live.read(1.0)) is not None]
    assert live.detail is None
    assert all(0 <= time.monotonic() - f.at_s < 3 and abs(time.time() - f.captured_at) < 3 for f in frames)
    numbers = [f.number for f in frames]
    assert numbers == sorted(set(numbers)) and frames[-1].image.shape == (120, 160, 3)
    assert SECRET.encode() not in server.requests[0], "sent as basic authentication, base64"


def test_the_newest_frame_wins(live: Camera) -> None:
    wait_for(lambda: live.state == "up", live)
    first = live.read(1.0)
    time.sleep(0.4)
    second = live.read(0.0)
    assert first is not None and second is not None
    assert time.monotonic() - second.at_s < 0.2 and second.number - first.number > 5
    assert live.dropped["overrun"] >= second.number - first.number - 1


def test_a_frozen_picture_is_no_news(server: MjpegServer, live: Camera) -> None:
    wait_for(lambda: live.state == "up", live)
    server.mode = "frozen"
    time.sleep(0.2)
    wait_for(lambda: live.state == "down", live)
    assert live.dropped["frozen"] > 5 and live.detail is not None and "frozen" in live.detail
    assert live.read(0.2) is None
    server.mode = "new"
    wait_for(lambda: live.state == "up", live)
    assert live.read(1.0) is not None


def test_a_camera_that_falls_silent_is_down_and_comes_back(server: MjpegServer, live: Camera) -> None:
    wait_for(lambda: live.state == "up", live)
    server.mode = "silent"
    wait_for(lambda: live.state == "down", live)
    assert live.detail is not None and SECRET not in live.detail and "guard" not in live.detail
    server.mode = "new"
    wait_for(lambda: live.state == "up", live)


def test_a_camera_that_vanishes_is_tried_again(server: MjpegServer) -> None:
    port = server.port
    camera = open_camera("g", GateConfig(source=server.url("/stream?token=" + SECRET), stale_s=0.5))
    try:
        wait_for(lambda: camera.state == "up", camera)
        server.close()
        wait_for(lambda: camera.state == "down" and "next try" in (camera.detail or ""), camera)
        assert SECRET not in (camera.detail or "") and f"127.0.0.1:{port}" in (camera.detail or "")
        server.__init__(port)  # type: ignore[misc]
        wait_for(lambda: camera.state == "up", camera)
    finally:
        server.mode = "gone"
        camera.close()


def test_a_missing_camera_is_reported_not_raised(capfd: pytest.CaptureFixture[str]) -> None:
    for source in ("/dev/video99", f"http://admin:{SECRET}@127.0.0.1:1/x", f"rtsp://admin:{SECRET}@127.0.0.1:1/x"):
        camera = open_camera("g", GateConfig(source=source))
        wait_for(lambda: "cannot be opened" in (camera.detail or ""), camera)  # noqa: B023
        assert camera.state == "down" and camera.live and SECRET not in (camera.detail or "") and "admin" not in (camera.detail or "")
        camera.close()
    assert capfd.readouterr().err == ""


def test_the_password_comes_from_a_file(server: MjpegServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/word\n")
    url = f"http://guard:{{password}}@127.0.0.1:{server.port}/video"
    camera = open_camera("g", GateConfig(source=url, password_file=str(tmp_path / "password")))
    wait_for(lambda: camera.state == "up", camera)
    server.mode = "gone"
    camera.close()
    with pytest.raises(ConfigError, match="password_file"):
        open_camera("g", GateConfig(source=url, password_file=str(tmp_path / "none")))


def test_urls_lose_their_secrets() -> None:
    assert redacted("rtsp://u:p@10.0.0.5:554/h264?channel=1") == "rtsp://***@10.0.0.5:554/h264?***"
    assert redacted("http://10.0.0.5/video") == "http://10.0.0.5/video"
    assert redacted("rtsp://u:p@ss@[::1]/x") == "rtsp://***@[::1]/x"


# ---- a library that misbehaves


class Scripted:
    """A capture whose reads are calls of functions, one after the other; the last one stays."""

    def __init__(self, *reads: Callable[[], tuple[bool, np.ndarray | None]]) -> None:
        self.reads = list(reads)
        self.released = False

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.01)
        return (self.reads.pop(0) if len(self.reads) > 1 else self.reads[0])()

    def release(self) -> None:
        self.released = True


def scripted(opener: Callable[[], Capture | None], stale_s: float = 0.3, hang_s: float = 0.2) -> LiveCamera:
    camera = LiveCamera("g", "fake", opener, stale_s, time.monotonic, time.time, backoff_s=(0.02, 0.1), hang_s=hang_s, frozen_reopen_s=0.3)
    camera.start()
    return camera


def fresh() -> tuple[bool, np.ndarray | None]:
    return True, np.random.default_rng().integers(0, 255, (48, 64, 3), np.uint8)


def test_a_reader_that_hangs_is_given_up_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.edges.camera.live._read_timeout_s", lambda stale_s: 0.2)
    let_go = threading.Event()

    def hang() -> tuple[bool, np.ndarray | None]:
        let_go.wait(10)
        return fresh()

    captures = [Scripted(fresh, fresh, hang), Scripted(fresh)]
    opened = iter(captures)
    camera = scripted(lambda: next(opened))
    try:
        before = wait_for(lambda: camera.state == "up", camera)
        wait_for(lambda: camera.state == "down", camera)
        after = wait_for(lambda: camera.state == "up", camera)
        let_go.set()
        after += [f for _ in range(5) if (f := camera.read(1.0)) is not None]
        numbers = [f.number for f in before + after]
        assert numbers == sorted(set(numbers))
        deadline = time.monotonic() + 2
        while not captures[0].released and time.monotonic() < deadline:
            time.sleep(0.01)
        assert captures[0].released, "the lost thread tidies up when the library lets it go"
    finally:
        let_go.set()
        camera.close()


def test_closing_does_not_wait_for_a_hanging_library() -> None:
    let_go = threading.Event()

    def opener() -> Capture | None:
        let_go.wait(10)
        return None

    camera = scripted(opener)
    began = time.monotonic()
    camera.close()
    assert time.monotonic() - began < 2 and camera.state == "ended" and camera.detail == "closed"
    let_go.set()


def test_corrupt_pictures_are_counted_and_never_handed_out() -> None:
    bad: list[np.ndarray | None] = [None, np.zeros((0, 0, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
    camera = scripted(lambda: Scripted(*[lambda image=image: (True, image) for image in bad], fresh))
    wait_for(lambda: camera.state == "up", camera)
    camera.close()
    assert camera.dropped["corrupt"] == 4


def test_a_camera_that_only_sends_rubbish_is_reopened() -> None:
    opened: list[int] = []

    def opener() -> Capture | None:
        opened.append(1)
        return Scripted(lambda: (True, None))

    camera = scripted(opener)
    wait_for(lambda: len(opened) > 1, camera)
    assert camera.state == "down"
    camera.close()


def test_a_camera_frozen_for_long_is_reopened() -> None:
    still = picture(3)
    opened: list[int] = []

    def opener() -> Capture | None:
        opened.append(1)
        return Scripted(lambda: (True, still))

    camera = scripted(opener)
    seen = wait_for(lambda: len(opened) > 2, camera)
    camera.close()
    assert len(seen) <= len(opened), "one frame a connection at most, however often it is sent"


def test_frames_that_waited_too_long_are_never_handed_out() -> None:
    now = [0.0]
    camera = LiveCamera("g", "fake", lambda: None, 0.5, lambda: now[0], time.time)  # never started
    camera._frame = Frame("g", 0, 0.0, 0.0, picture(1))
    now[0] = 0.6
    assert camera.read(0.0) is None and camera.dropped == {"stale": 1}


def test_what_piled_up_is_told_from_what_is_new() -> None:
    backlog = Backlog(2.0)
    # Opening: a burst from the probe buffer, then the first picture that had to be waited for.
    assert [backlog.is_old(s) for s in (0.001, 0.002, 0.001, 0.03, 0.001, 0.04)] == [True, True, True, False, False, False]
    # A hole of five seconds: what came out first had waited longest.
    assert [backlog.is_old(s) for s in (5.0, 0.001, 0.001, 0.02, 0.001)] == [True, True, True, False, False]
    # A source that never makes anybody wait is trusted in the end.
    backlog = Backlog(2.0)
    assert [backlog.is_old(0.001) for _ in range(300)].count(True) < 260


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
