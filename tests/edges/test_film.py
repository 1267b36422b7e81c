"""A film that is written opens again, whole; what cannot be written is said."""

import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.config import GateConfig
from daemon.edges import film
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.film import FilmError, open_film
from tests.conftest import ROOT


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "H.264"), ("a.webm", "VP8")])
def test_frames_rate_and_pictures_come_back(tmp_path: Path, name: str, codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    made = open_film(tmp_path / name, 12.5, 64, 48)
    for number in range(30):
        made.write(np.full((48, 64, 3), 8 * number, np.uint8))
    made.close()
    assert (made.codec, made.frames) == (codec, 30)
    frames = list(frames_of(open_camera("g", GateConfig(source=str(tmp_path / name)))))
    assert [frame.at_s for frame in frames] == pytest.approx([number / 12.5 for number in range(30)], abs=0.001)
    assert all(abs(float(frame.image.mean()) - 8 * number) < 6 for number, frame in enumerate(frames))
    assert capfd.readouterr() == ("", ""), "what the library thinks of codecs is nobody's business"


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080)])
def test_an_mp4_plays_in_a_browser_before_it_is_there_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    made = open_film(tmp_path / "a.mp4", 29.97, *size)
    orange = np.full((size[1], size[0], 3), (30, 120, 230), np.uint8)
    for _ in range(3):
        made.write(orange)
    made.close()
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        coded = container.streams.video[0].codec_context
        assert (coded.name, coded.pix_fmt, coded.profile) == ("h264", "yuv420p", "High")
        assert (coded.colorspace, coded.color_range) == (6, 1)
    (first, *_) = frames_of(open_camera("g", GateConfig(source=str(tmp_path / "a.mp4"))))
    assert np.abs(first.image.astype(int) - orange).max() <= 4, "the colours are the same at every size"


def test_another_kind_of_file_and_a_library_without_codecs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FilmError, match="not a kind of video"):
        open_film(tmp_path / "a.avi", 25.0, 64, 48)
    made = open_film(tmp_path / "absent" / "a.mp4", 25.0, 64, 48)
    with pytest.raises(FilmError, match="could not be completed: No such file or directory"):
        for _ in range(200):  # the encoder keeps some back
            made.write(np.zeros((48, 64, 3), np.uint8))
        made.close()
    monkeypatch.setitem(film._FILMS, ".mp4", replace(film._FILMS[".mp4"], encoder="zzzz"))
    with pytest.raises(FilmError, match=r"no encoder for H\.264") as raised:
        open_film(tmp_path / "a.mp4", 25.0, 64, 48)
    assert "constraints.txt" in raised.value.hint


def test_a_frame_of_another_size_is_an_error(tmp_path: Path) -> None:
    made = open_film(tmp_path / "a.mp4", 25.0, 64, 48)
    with pytest.raises(ValueError, match="64×48"):
        made.write(np.zeros((64, 48, 3), np.uint8))
    made.abandon()


SMALL_DISK = """
import sys
from pathlib import Path
import numpy as np
from daemon.edges.film import FilmError, open_film
noise = np.random.default_rng(1)
try:
    made = open_film(Path(sys.argv[1]), 25.0, 320, 240)
    for _ in range(int(sys.argv[2])):
        made.write(noise.integers(0, 255, (240, 320, 3), np.uint8))
    made.close()
except FilmError as error:
    print(error.message, error.hint, sep="|")
"""


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
@pytest.mark.parametrize("frames", [1, 40])
@pytest.mark.parametrize("room", [0, 500, 20_000])
def test_a_film_that_did_not_get_whole_is_noticed(tmp_path: Path, name: str, frames: int, room: int) -> None:
    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    command = [sys.executable, "-c", SMALL_DISK, str(tmp_path / name), str(frames)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, preexec_fn=small_disk)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{name}: the video could not be completed: File too large|check whether the disk is full, and the folder\n"
