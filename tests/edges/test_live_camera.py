"""Live cameras over HTTP that freeze, fall silent and vanish, and processes that hang and break off."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import ConfigError, GateConfig
from daemon.edges.camera import Camera, open_camera
from daemon.edges.camera.live import BEGIN, LiveCamera, Process
from daemon.edges.camera.wire import Settings
from daemon.edges.store import open_store
from tests.fixtures.mjpeg import HEAD, MjpegServer, parted, wait_for
from tests.fixtures.rtsp import time_in

NASTY = "p#s?w/o[r]d@:%41 ü"


def state_of(camera: Camera) -> str:
    """The state, to a type checker that remembers what an earlier assertion said of it."""
    return camera.state


def alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    with MjpegServer() as server:
        yield server


@pytest.fixture
def live(server: MjpegServer) -> Iterator[LiveCamera]:
    camera = open_camera("north", GateConfig(source=server.url(), stale_s=1.0))
    assert isinstance(camera, LiveCamera)
    pid = camera.pid
    yield camera
    pid = camera.pid or pid
    began = time.monotonic()
    camera.close()
    assert time.monotonic() - began < 2 and state_of(camera) == "ended" and camera.read(0.1) is None
    assert not alive(pid)


def test_a_live_camera_gives_frames_of_now(live: LiveCamera) -> None:
    assert live.live
    frames = wait_for(lambda: live.state == "up", live) + [f for _ in range(10) if (f := live.read(5.0)) is not None]
    assert live.detail is None and live.trouble is None
    assert all(0 <= time.monotonic() - f.at_s < 5 and abs(time.time() - f.captured_at) < 5 for f in frames)
    numbers = [f.number for f in frames]
    assert numbers == sorted(set(numbers)) and frames[-1].image.shape == (160, 544, 3)


def test_the_newest_frame_wins(live: LiveCamera) -> None:
    wait_for(lambda: live.state == "up", live)
    first = live.read(5.0)
    time.sleep(0.6)
    asked_s = time.monotonic()
    second = live.read(5.0)
    assert first is not None and second is not None
    assert second.at_s > asked_s - 0.5 and second.number - first.number > 5
    wait_for(lambda: live.dropped.get("overrun", 0) >= second.number - first.number - 1, live)


def test_a_frozen_picture_is_no_news(server: MjpegServer) -> None:
    camera = open_camera("north", GateConfig(source=server.url(), stale_s=0.5))
    try:
        wait_for(lambda: camera.state == "up", camera)
        server.mode = "frozen"
        wait_for(lambda: camera.trouble == "frozen", camera)
        assert state_of(camera) == "down" and "nothing in the picture has changed" in (camera.detail or "") and camera.dropped["still"] > 5
        frozen = time.monotonic()
        while time.monotonic() - frozen < 6:  # it is opened again meanwhile, and that proves nothing
            assert camera.read(0.2) is None and camera.trouble == "frozen"
        server.mode = "new"
        wait_for(lambda: camera.state == "up" and camera.trouble is None, camera)
        assert camera.read(5.0) is not None
    finally:
        camera.close()


def test_where_nothing_moves_for_long_whoever_walks_up_is_seen(server: MjpegServer) -> None:
    settings = Settings(server.url(), 0.5, 5.0, 5.0, 10.0, quiet_s=1.5)
    camera = LiveCamera("north", settings, backoff_s=(0.2, 0.2), quiet_reopen_s=(2.0, 64.0))
    server.mode = "frozen"
    camera.start()
    try:
        began_s = time.monotonic()
        wait_for(lambda: len(server.requests) == 3, camera, 60)  # 1.5 + 2, then 1.5 + 4 seconds later
        assert time.monotonic() - began_s > 9 and camera.trouble == "frozen"
        wait_for(lambda: "quiet_s" in (camera.detail or ""), camera)
        assert camera.read(1.0) is None
        server.mode = "new"
        changed_s = time.monotonic()
        assert wait_for(lambda: camera.trouble is None and camera.read(0.5) is not None, camera) is not None
        assert time.monotonic() - changed_s < 10 and len(server.requests) == 3, "it is not opened again for that"
    finally:
        camera.close()


def test_stillness_alone_may_be_no_alarm(server: MjpegServer) -> None:
    settings = Settings(server.url(), 0.5, 5.0, 5.0, 10.0, quiet_s=0.0)
    camera = LiveCamera("north", settings)
    server.mode = "frozen"
    camera.start()
    try:
        wait_for(lambda: camera.state == "up" and camera.dropped.get("still", 0) > 100, camera)
        assert camera.trouble is None and "frozen" not in camera.dropped and camera.read(0.5) is None
    finally:
        camera.close()


def test_a_camera_that_falls_silent_is_down_and_comes_back(server: MjpegServer, live: LiveCamera) -> None:
    wait_for(lambda: live.state == "up", live)
    server.mode = "silent"
    wait_for(lambda: live.state == "down", live)
    assert live.trouble == "down" and live.detail is not None
    wait_for(lambda: "sent nothing for" in (live.detail or ""), live)
    server.mode = "new"
    wait_for(lambda: live.state == "up", live)


def test_what_was_held_up_is_not_fresh(server: MjpegServer, live: LiveCamera) -> None:
    wait_for(lambda: live.state == "up", live)
    for _ in range(3):
        server.mode = "held"
        time.sleep(2.0)
        server.mode = "new"
        frames = wait_for(lambda: live.state == "up", live) + [f for _ in range(20) if (f := live.read(5.0)) is not None]
        assert all(f.at_s - time_in(f.image) < 1.5 for f in frames), "more than what a loaded machine takes to send it"


def test_a_camera_that_vanishes_is_tried_again() -> None:
    server = MjpegServer()
    camera = open_camera("g", GateConfig(source=server.url(), stale_s=0.5))
    try:
        wait_for(lambda: camera.state == "up", camera)
        server.close()
        wait_for(lambda: camera.state == "down" and "nothing listens" in (camera.detail or ""), camera)
        assert "next try in" in (camera.detail or "")
        with MjpegServer(server.port):
            wait_for(lambda: camera.state == "up", camera)
    finally:
        server.close()
        camera.close()


TRYING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from daemon.edges.camera import reader
from daemon.edges.camera.asking import Ended
from daemon.edges.camera.wire import Cause
path = {path!r}
def read(settings, told):
    if told.lacks:
        raise Ended(Cause.FAILED, 1000.0 + told.lacks)
    {attempt}
    raise Ended(Cause.FAILED, 999.0)
reader.read = read
reader.main()
"""


@pytest.mark.parametrize(
    "attempt", ["open(path)", "os.listdir(os.path.dirname(path))", "os.unlink(path)", "os.chmod(path, 0o666)",
                "open(path + '.new', 'w')", "open(f'/proc/{os.getppid()}/environ')", "os.truncate(path, 0)"]
)  # fmt: skip
def test_its_process_cannot_reach_the_key_of_the_store(tmp_path: Path, attempt: str) -> None:
    store = open_store(tmp_path / "state")
    store.close()
    key = tmp_path / "state" / "key"
    before = key.read_bytes(), key.stat().st_mode
    settings = Settings("rtsp://127.0.0.1:1/x", 1.0, 5.0, 5.0, 10.0)
    camera = LiveCamera("g", settings, start=lambda: Process(TRYING.format(path=str(key), attempt=attempt)))
    camera.start()
    wait_for(lambda: "reading it failed" in (camera.detail or ""), camera)
    said = camera.detail or ""
    camera.close()
    if "error 100" in said:
        pytest.skip("this kernel does not limit files or calls")
    assert "(error 13)" in said or "(error 1)" in said, said
    assert (key.read_bytes(), key.stat().st_mode) == before and list(key.parent.iterdir())


def test_a_missing_camera_is_reported_not_raised(capfd: pytest.CaptureFixture[str]) -> None:
    for source, says in (
        ("/dev/video99", "no such device"),
        ("http://127.0.0.1:1/x", "nothing listens"),
        ("rtsp://127.0.0.1:1/x", "nothing listens"),
        ("rtsp://no-such-host.invalid/x", "name is not known"),
    ):
        camera = open_camera("g", GateConfig(source=source))
        wait_for(lambda: says in (camera.detail or ""), camera)  # noqa: B023
        assert camera.state == "down" and camera.live
        camera.close()
    assert capfd.readouterr() == ("", "")


def http(status: str, more: str = "") -> bytes:
    return f"HTTP/1.0 {status}\r\n{more}Content-Type: text/html\r\n\r\n<html>".encode()


@pytest.mark.parametrize(
    ("head", "username", "says"),
    [
        (http("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"\r\n'), "guard", "refuses user name and password"),
        (http("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"\r\n'), "", "asks for user name and password"),
        (http("403 Forbidden"), "guard", "may not see"),
        (http("404 Not Found"), "", "does not know the path"),
        (http("400 Bad Request"), "", "refuses the request"),
        (http("503 Busy"), "", "failure of its own"),
        (http("200 OK"), "", "nothing that is a video"),
        (b"RTSP/1.0 505 RTSP Version Not Supported\r\n\r\n", "", "speaks RTSP"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "", "wants encryption"),
        (b"", "", "hangs up"),
    ],
)
def test_the_cause_has_a_name(head: bytes, username: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong\n")
    with MjpegServer(head=head) as server:
        server.mode = "gone"  # after its head it hangs up
        config = GateConfig(source=server.url(), username=username, password_file=str(tmp_path / "password") if username else "")
        camera = open_camera("g", config)
        wait_for(lambda: "next try" in (camera.detail or ""), camera)
        assert says in (camera.detail or ""), camera.detail
        slow = any(word in says for word in ("user", "may not see"))
        assert ("next try in 1 min, at " if slow else "next try in 1 s") in (camera.detail or "")
        camera.close()


def test_a_refused_login_is_tried_seldom(tmp_path: Path) -> None:
    with MjpegServer() as server:
        server.login = "guard", "right"
        settings = Settings(server.url(login="guard:wrong@"), 2.0, 5.0, 5.0, 10.0, login=True)
        camera = LiveCamera("g", settings, backoff_s=(0.01, 0.01), login_backoff_s=(1.0, 4.0))
        camera.start()

        def tries() -> int:
            return sum(b"Authorization" in request for request in server.requests)

        for number, pause in enumerate((1, 2, 4, 4), 1):
            wait_for(lambda: tries() == number and f"next try in {pause} s" in (camera.detail or ""), camera)  # noqa: B023
        camera.close()
        assert tries() <= 5


def test_a_password_of_any_characters_works_and_appears_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "password").write_text(NASTY + "\n", "utf-8")
    with MjpegServer() as server:
        server.login = "gu@rd", NASTY
        camera = open_camera("g", GateConfig(source=server.url(), username="gu@rd", password_file=str(tmp_path / "password")))
        assert isinstance(camera, LiveCamera)
        wait_for(lambda: camera.state == "up", camera)
        pid = camera.pid
        seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        for secret in (b"gu@rd", b"p#s", b"p%23s", str(server.port).encode()):
            assert secret not in seen
        server.close()
        wait_for(lambda: "next try" in (camera.detail or ""), camera)
        said = (camera.detail or "") + "".join(capfd.readouterr())
        assert not any(secret in said for secret in ("gu@rd", "p#s", "p%23s", "127.0.0.1", str(server.port)))
        camera.close()
    with pytest.raises(ConfigError, match="password_file"):
        open_camera("g", GateConfig(source=server.url(), username="guard", password_file=str(tmp_path / "none")))


def test_the_process_knows_and_holds_nothing_else(live: LiveCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/secret")
    wait_for(lambda: live.state == "up", live)
    pid = live.pid
    assert b"CREDENTIALS" not in Path(f"/proc/{pid}/environ").read_bytes()
    files = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    assert all(name.startswith(("socket:", "/memfd:camera")) or name == "/dev/null" for name in files) and len(files) < 8, files
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert any(line.split()[:5] == ["Max", "core", "file", "size", "0"] for line in limits.splitlines())
    assert "unlimited" not in next(line for line in limits.splitlines() if line.startswith("Max address space"))


def test_the_process_ends_with_the_daemon(server: MjpegServer) -> None:
    code = (
        "import sys, os\nfrom daemon.edges.camera import open_camera\nfrom daemon.config import GateConfig\n"
        f"c = open_camera('g', GateConfig(source={server.url()!r}))\n"
        "while c.read(1.0) is None: pass\nprint(c.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9
    deadline = time.monotonic() + 10
    while alive(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---- what cameras that speak HTTP do


@pytest.mark.parametrize("garbage", [b"", b"\r\n\r\n"])
def test_pictures_that_cannot_be_decoded_are_counted_and_never_handed_out(garbage: bytes) -> None:
    with MjpegServer() as server:
        server.mode = "rubbish"
        server.part = lambda picture: parted(picture) + garbage
        camera = open_camera("g", GateConfig(source=server.url(), stale_s=0.5))
        wait_for(lambda: "can be decoded" in (camera.detail or "") or "nothing that is a video" in (camera.detail or ""), camera, 60)
        assert camera.read(0.1) is None
        camera.close()


def test_a_picture_of_another_size_is_one() -> None:
    with MjpegServer() as server:
        camera = open_camera("g", GateConfig(source=server.url(), stale_s=2.0))
        wait_for(lambda: camera.state == "up", camera)
        server.size = (641, 361)
        wait_for(lambda: (frame := camera.read(1.0)) is not None and frame.image.shape == (361, 641, 3), camera)
        camera.close()


def test_one_picture_is_no_stream() -> None:
    with MjpegServer(head=HEAD.replace(b"multipart/x-mixed-replace; boundary=part", b"image/jpeg"), part=lambda picture: picture) as server:

        def once(picture: bytes) -> bytes:
            server.mode = "gone"
            return picture

        server.part = once
        camera = open_camera("g", GateConfig(source=server.url()))
        wait_for(lambda: "of one picture" in (camera.detail or ""), camera)
        camera.close()


# ---- processes that misbehave

FAKE = "import sys, os, time, socket; sys.path.insert(0, sys.argv[1]); line = socket.socket(fileno=0); line.recv(1 << 20); "


def faked(*begins: str) -> tuple[LiveCamera, list[Process]]:
    """A camera whose processes run this, one after the other; then real ones."""
    left, started = list(begins), list[Process]()

    def start() -> Process:
        started.append(Process(left.pop(0) if left else BEGIN))
        return started[-1]

    camera = LiveCamera("g", Settings("http://127.0.0.1:1/x", 1.0, 0.5, 5.0, 10.0), backoff_s=(0.01, 0.01), hang_s=0.5, start=start)
    camera.start()
    return camera, started


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("os.abort()", "broke off (status -6)"),
        ("sys.exit(3)", "broke off (status 3)"),
        ("line.send(b'x' * 20)", "spoke nonsense"),
        ("line.send(bytes(MESSAGE_BYTES))", "spoke nonsense"),
        ("line.send(bytes([1]) + bytes(MESSAGE_BYTES - 1))", "spoke nonsense"),
        ("line.send(bytes([255]) * MESSAGE_BYTES)", "spoke nonsense"),
    ],
)
def test_a_process_that_breaks_off_is_replaced(code: str, says: str) -> None:
    camera, started = faked(FAKE + "from daemon.edges.camera.wire import MESSAGE_BYTES; " + code + "; time.sleep(60)")
    wait_for(lambda: says in (camera.detail or ""), camera)
    wait_for(lambda: "nothing listens" in (camera.detail or ""), camera)
    assert len(started) > 1 and not alive(started[0].pid) and camera.state == "down"
    camera.close()


def test_a_process_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.edges.camera.live.START_S", 1.0)
    camera, started = faked(FAKE + "time.sleep(60)")
    wait_for(lambda: "hung" in (camera.detail or ""), camera)
    assert not alive(started[0].pid)
    monkeypatch.undo()
    wait_for(lambda: "nothing listens" in (camera.detail or ""), camera)
    camera.close()


def test_closing_does_not_wait_for_a_process_that_hangs() -> None:
    camera, started = faked(FAKE + "time.sleep(60)")
    camera.read(0.1)
    began = time.monotonic()
    camera.close()
    assert time.monotonic() - began < 2 and camera.state == "ended" and camera.detail == "closed" and not alive(started[0].pid)


def test_closing_from_another_thread_ends_a_read(server: MjpegServer) -> None:
    camera = open_camera("g", GateConfig(source=server.url()))
    server.mode = "silent"
    closer = threading.Timer(0.3, camera.close)
    closer.start()
    began = time.monotonic()
    while camera.state != "ended":
        camera.read(20.0)
    assert time.monotonic() - began < 4
    closer.join()


def test_a_process_that_cannot_be_started_is_said() -> None:
    def start() -> Process:
        raise OSError(12, "no memory")

    camera = LiveCamera("g", Settings("http://127.0.0.1:1/x", 1.0, 0.5, 5.0, 10.0), backoff_s=(0.01, 0.01), start=start)
    camera.start()
    assert camera.read(0.05) is None and "cannot be started (error 12)" in (camera.detail or "")
    camera.close()
