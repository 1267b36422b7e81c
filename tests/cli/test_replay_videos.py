"""`ostiaryd replay` of recordings that came from the field."""

import json
from pathlib import Path

import pytest

from bench.gate_clips import enrolment_frame
from daemon.__main__ import main
from daemon.config import GateConfig
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector

pytestmark = pytest.mark.data


def replayed(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, object]]:
    assert main(["replay", *map(str, arguments)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", ["nobody-interlaced.ts", "nobody-progressive.ts"])
@pytest.mark.parametrize("kind", ["haar", "yunet"])
def test_a_film_of_nobody_lets_nobody_in(cases_dir: Path, data_dir: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str) -> None:
    """A library that leaves the picture's memory as it was once showed the photo that had been decoded there."""
    photo, detector = cases_dir / "video/photo-640x480.jpg", "haar" if kind == "haar" else data_dir / "models/yunet.onnx"
    assert replayed(capsys, cases_dir / "video" / name, "--enroll", f"E1={photo}", "--detector", detector) == []


def test_a_pause_of_a_minute_parts_two_passages(cases_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, photo = cases_dir / "video/vfr-gap.mp4", tmp_path / "photo.jpg"
    photo.write_bytes(enrolment_frame(clip, open_detector("haar")))
    at_s = [frame.at_s for frame in frames_of(open_camera("g", GateConfig(source=str(clip))))]
    first, second = replayed(capsys, clip, "--enroll", f"E1={photo}")
    assert [(one["passage"], one["decision"], one["person"]) for one in (first, second)] == [(1, "accept", "E1"), (2, "accept", "E1")]
    assert at_s[int(str(second["frame"]))] - at_s[int(str(first["frame"]))] == pytest.approx(61.5, abs=0.2)
