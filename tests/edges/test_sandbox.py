"""The process for photos from outside: it answers as this process would, and whatever happens to it, the next photo is looked at."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.config import Config, GateConfig
from daemon.core.people import photo_wire as wire
from daemon.core.people.enrol import PHOTO_REASONS, EnrolError, bad_photo
from daemon.core.values import Image
from daemon.edges import sandbox as module
from daemon.edges.detector import open_detector
from daemon.edges.sandbox import Sandbox, SandboxError
from daemon.pipeline import steps
from daemon.pipeline.opening import open_judge
from daemon.pipeline.photos import enrolment_crop
from tests.fixtures.bombs import jpeg, scan_bomb, segment, with_segments

CONFIG = Config(site="test", gates={"north": GateConfig(source="x")})
SETTINGS = wire.PhotoSettings("haar", CONFIG.detector.min_face_px, steps.limits(CONFIG, CONFIG.enrolment.min_face_px))


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    made = Sandbox(SETTINGS)
    made.start()
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[Sandbox]:
    made = Sandbox(SETTINGS)
    made.start()
    refused(made, jpeg())
    yield made
    made.close()


def test_it_gets_ready_before_anybody_asks_and_then_gives_way() -> None:
    """A first enrolment must not wait until the models are loaded."""
    made = Sandbox(SETTINGS)
    made.start()
    try:
        deadline_s = time.monotonic() + 60
        while os.getpriority(os.PRIO_PROCESS, pid(made)) == os.getpriority(os.PRIO_PROCESS, 0):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
    finally:
        made.close()


@pytest.fixture(scope="module")
def picture() -> Image:
    """A picture of somebody, which NASA gave away, BGR."""
    return np.asarray(pytest.importorskip("skimage.data").astronaut()[:, :, ::-1], np.uint8)


@pytest.fixture(scope="module")
def face(picture: Image) -> bytes:
    return photo(picture)


def photo(picture: Image) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


def refused(sandbox: Sandbox, *photos: bytes) -> EnrolError:
    with pytest.raises(EnrolError) as caught:
        sandbox.crops(photos)
    return caught.value


def pid(sandbox: Sandbox) -> int:
    assert sandbox.pid is not None
    return sandbox.pid


def test_it_answers_as_this_process_would(shared: Sandbox, face: bytes, picture: Image) -> None:
    detector, judge = open_detector("haar", CONFIG.detector.min_face_px), open_judge(CONFIG, CONFIG.enrolment.min_face_px)
    upside_down = photo(picture[::-1, ::-1])
    crops = shared.crops([face, upside_down])
    for number, one in enumerate((face, upside_down)):
        assert np.array_equal(crops[number], enrolment_crop(one, 1, detector, judge))
    for one in (jpeg(), jpeg(progressive=True), scan_bomb(2_000), b"nothing", face[:5_000]):
        with pytest.raises(EnrolError) as here:
            enrolment_crop(one, 1, detector, judge)
        there = refused(shared, one)
        assert (there.reason, there.detail) == (here.value.reason, here.value.detail)


@pytest.mark.data
def test_it_works_with_yunet_too_and_as_confined(data_dir: Path, face: bytes) -> None:
    yunet = str(data_dir / "models/yunet.onnx")
    made = Sandbox(wire.PhotoSettings(yunet, SETTINGS.min_face_px, SETTINGS.limits))
    try:
        judge = open_judge(CONFIG, CONFIG.enrolment.min_face_px)
        assert np.array_equal(made.crops([face])[0], enrolment_crop(face, 1, open_detector(yunet, SETTINGS.min_face_px), judge))
        assert "Seccomp:\t2" in Path(f"/proc/{made.pid}/status").read_text()
    finally:
        made.close()


def test_the_photo_that_is_no_good_is_named(shared: Sandbox, face: bytes) -> None:
    assert "image 2" in refused(shared, face, jpeg(), face).detail
    assert "image 3" in refused(shared, face, face, b"nothing").detail


def test_a_file_that_its_header_gives_away_is_not_even_sent(face: bytes) -> None:
    never_started = Sandbox(SETTINGS)
    assert refused(never_started, face, scan_bomb(2_000)).reason == "bad_image"
    assert never_started.pid is None


@pytest.mark.parametrize(
    "bomb",
    [
        scan_bomb(50, 3_000, 3_000),
        jpeg(5_200, 3_900, progressive=True),
        jpeg(3_000, 3_000, rst_interval=1),
        with_segments(jpeg(), segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 60_000)),
    ],
    ids=["scans", "20 million pixels", "restarts", "exif"],
)
def test_the_worst_that_a_header_allows_is_dealt_with(shared: Sandbox, bomb: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_photo_s", 300.0)  # it gives way to whatever else runs here
    monkeypatch.setattr(module, "COMMAND_S", 300.0)
    before = pid(shared)
    assert refused(shared, bomb).reason == "no_face" and pid(shared) == before


def test_a_process_that_died_while_nobody_asked_is_replaced(own: Sandbox) -> None:
    before = pid(own)
    os.kill(before, signal.SIGKILL)
    assert refused(own, jpeg()).reason == "no_face" and pid(own) != before


def stopped(sandbox: Sandbox) -> int:
    """The process hangs from now on."""
    os.kill(pid(sandbox), signal.SIGSTOP)
    return pid(sandbox)


def test_a_process_that_is_killed_in_the_middle_of_a_photo_is_replaced_and_asked_again(own: Sandbox) -> None:
    number = stopped(own)
    killer = threading.Timer(0.3, os.kill, (number, signal.SIGKILL))
    killer.start()
    assert refused(own, jpeg()).reason == "no_face" and pid(own) != number


def test_a_photo_that_kills_the_process_twice_is_refused_and_the_next_one_is_looked_at(own: Sandbox) -> None:
    end = threading.Event()

    def kill_all() -> None:
        while not end.wait(0.01):
            if own.pid is not None:
                os.kill(own.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    os.kill(pid(own), signal.SIGSTOP)
    killer.start()
    try:
        with pytest.raises((EnrolError, SandboxError)):
            own.crops([jpeg()])
    finally:
        end.set()
        killer.join()
    assert refused(own, jpeg()).reason == "no_face"


def test_a_photo_that_breaks_the_decoder_is_refused_at_once(own: Sandbox) -> None:
    number = stopped(own)
    killer = threading.Timer(0.3, os.kill, (number, signal.SIGSEGV))
    killer.start()
    threading.Timer(0.4, os.kill, (number, signal.SIGCONT)).start()
    error = refused(own, jpeg())
    assert error.reason == "bad_image" and "failed" in error.detail
    assert refused(own, jpeg()).reason == "no_face"


def test_a_photo_that_hangs_is_refused_in_time(own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, own._photo_s = stopped(own), 0.5
    started = time.monotonic()
    error = refused(own, jpeg())
    assert time.monotonic() - started < 5
    assert error.reason == "bad_image" and "too long" in error.detail
    assert not Path(f"/proc/{hanging}").exists()
    own._photo_s = 10.0
    assert refused(own, jpeg()).reason == "no_face"


def test_the_photos_of_one_command_share_their_time(own: Sandbox, monkeypatch: pytest.MonkeyPatch, face: bytes) -> None:
    monkeypatch.setattr(module, "COMMAND_S", 0.3)
    assert "too long" in refused(own, *[face] * 10).detail


def test_who_waits_when_it_is_closed_hears_of_it(own: Sandbox) -> None:
    stopped(own)
    threading.Timer(0.2, own.close).start()
    with pytest.raises(SandboxError, match="the daemon stops"):
        own.crops([jpeg()])
    assert own.pid is None or not Path(f"/proc/{own.pid}").exists()


def test_a_process_that_cannot_start_is_an_error_with_a_hint() -> None:
    broken = Sandbox(wire.PhotoSettings("/no/such/yunet.onnx", 40, SETTINGS.limits))
    with pytest.raises(SandboxError, match="ended while it started") as caught:
        broken.crops([jpeg()])
    assert caught.value.hint
    broken.close()


def test_signals_for_the_whole_service_do_not_end_it(own: Sandbox) -> None:
    before = pid(own)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(before, number)
    assert refused(own, jpeg()).reason == "no_face" and pid(own) == before


def test_it_has_no_secret_and_no_file(own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(f"/proc/{pid(own)}")
    names = {entry.split(b"=")[0].decode() for entry in (folder / "environ").read_bytes().split(b"\0") if entry}
    assert names <= {*module.KEPT, "OPENBLAS_NUM_THREADS", "LC_CTYPE"}
    assert sorted(int(entry.name) for entry in (folder / "fd").iterdir()) == [0, 1, 2]
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (folder / "limits").read_text().splitlines()[1:]}
    for what in ("Max open files", "Max processes", "Max file size", "Max core file size"):
        assert limits[what] == ["0", "0"], what
    status = (folder / "status").read_text()
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status


def test_many_enrolments_leave_nothing_behind(shared: Sandbox, picture: Image) -> None:
    def size(number: int | str) -> int:
        return int(Path(f"/proc/{number}/statm").read_text().split()[1]) * 4

    small = photo(picture[:256, 100:350])
    for _ in range(20):
        shared.crops([small])
    number, ours = pid(shared), len(list(Path("/proc/self/fd").iterdir()))
    before, here = size(number), size("self")
    for _ in range(200):
        shared.crops([small])
        refused(shared, jpeg())
    assert pid(shared) == number and len(list(Path("/proc/self/fd").iterdir())) == ours
    assert size(number) - before < 8_000 and size("self") - here < 8_000, "in kB"


def test_processes_that_end_leave_nothing_behind(own: Sandbox) -> None:
    ours = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        os.kill(pid(own), signal.SIGKILL)
        refused(own, jpeg())
    assert len(list(Path("/proc/self/fd").iterdir())) == ours


def test_only_known_answers_mean_anything() -> None:
    for number, reason in enumerate(PHOTO_REASONS, 1):
        error = wire.refused(number, 7)
        assert error is not None and error.reason == reason and error.detail.startswith("image 7: ")
        assert wire.refusal(bad_photo(reason, 1)) == number
    assert [wire.refused(code, 1) for code in (0, len(PHOTO_REASONS) + 1, 254, wire.FAILED)] == [None] * 4
    assert wire.read_settings(SETTINGS.encode()) == SETTINGS


def test_an_answer_that_means_nothing_is_not_believed(own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pid(own)
    with monkeypatch.context() as lies:
        lies.setattr(wire, "refused", lambda code, photo: None)
        with pytest.raises(SandboxError, match="started again"):
            own.crops([jpeg()])
    assert refused(own, jpeg()).reason == "no_face" and pid(own) != before
