"""A film that is written opens again, whole; what cannot be written is said."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.edges import film
from daemon.edges.film import FilmError, open_film


def pictures(path: Path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    fps, found = capture.get(cv2.CAP_PROP_FPS), []
    while (read := capture.read())[0]:
        found.append(read[1])
    capture.release()
    return found, fps


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "VP9"), ("a.webm", "VP8")])
def test_frames_rate_and_pictures_come_back(tmp_path: Path, name: str, codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    made = open_film(tmp_path / name, 12.5, 64, 48)
    for number in range(30):
        made.write(np.full((48, 64, 3), 8 * number, np.uint8))
    made.close()
    assert (made.codec, made.frames) == (codec, 30)
    found, fps = pictures(tmp_path / name)
    assert len(found) == 30 and fps == pytest.approx(12.5, rel=0.01)
    assert all(abs(float(picture.mean()) - 8 * number) < 6 for number, picture in enumerate(found))
    assert capfd.readouterr() == ("", ""), "what the library thinks of codecs is nobody's business"


def test_another_kind_of_file_and_a_library_without_codecs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FilmError, match="not a kind of video"):
        open_film(tmp_path / "a.avi", 25.0, 64, 48)
    monkeypatch.setattr(film, "CODECS", {".mp4": (("avc1", "H.264"),)})
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda self: False)
    with pytest.raises(FilmError, match="no codec for it; it was asked for") as raised:
        open_film(tmp_path / "a.mp4", 25.0, 64, 48)
    assert "opencv-python" in raised.value.hint


def test_a_film_that_did_not_get_whole_is_noticed(tmp_path: Path) -> None:
    made = open_film(tmp_path / "a.mp4", 25.0, 64, 48)
    for _ in range(10):
        made.write(np.zeros((48, 64, 3), np.uint8))
    made.frames += 5  # as if the disk had taken ten of fifteen
    with pytest.raises(FilmError, match="could not be completed"):
        made.close()
