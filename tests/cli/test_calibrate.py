"""`ostiaryd calibrate` and the file it writes, and what the file does to a gate."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.__main__ import main
from daemon.cli.calibrate import text_of
from daemon.config import ConfigError, read_site_calibration
from daemon.core.site import Passing, judge
from daemon.pipeline.steps import Raised
from tests.fixtures.desk import NoThreshold
from tests.fixtures.walks import PEOPLE, TEMPLATES, walks


class Card(NoThreshold):
    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        return 0.5 if gallery_size <= 10 else None


def test_it_only_ever_raises_and_where_either_does_not_know_the_gate_closes() -> None:
    assert [Raised(Card(), floor).threshold(5, 0.01) for floor in (0.4, 0.5, 0.6, None)] == [0.5, 0.5, 0.6, None]
    assert Raised(Card(), 0.6).threshold(11, 0.01) is None


def test_the_file_reads_back_and_names_who_was_left_out(tmp_path: Path) -> None:
    passings = [walks("A", "B", 0.55), *map(walks, "BCDE"), Passing("A-2", PEOPLE["A"][None])]
    site = judge(passings, {**TEMPLATES, "A-2": TEMPLATES["A"]}, 0.01)
    file = tmp_path / "site.toml"
    file.write_text(text_of(site, "faces-0123", "north"))
    assert read_site_calibration(str(file)).gates == ("north",)
    assert read_site_calibration(str(file)).thresholds == {"faces-0123": pytest.approx(site.threshold, abs=1e-4)}
    assert "A and A-2: 1.000" in file.read_text()


@pytest.mark.parametrize("text", ["", "[thresholds]\nm = 1.5\n", '[thresholds]\nm = "high"\n', "threshold = 0.5\n", "[thresholds\n"])
def test_a_file_that_says_nothing_usable_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError):
        read_site_calibration(str(tmp_path / "site.toml"))


def test_recordings_that_show_nobody_are_named_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from daemon.edges.store import open_store

    open_store(tmp_path / "state").close()
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "empty" / "0.png"), np.zeros((120, 160, 3), np.uint8))
    config = tmp_path / "config.toml"
    config.write_text(f'site = "t"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "x.mkv"\n')
    out = tmp_path / "site.toml"
    refusals = {f"E1={tmp_path / 'empty'}": "no face is seen well", "E1": "not of the form", f"E1={tmp_path}/no.mkv": "no.mkv"}
    for recording, says in refusals.items():
        assert main(["calibrate", "--config", str(config), "--out", str(out), recording]) == 78
        assert says in " ".join(capsys.readouterr().err.split()) and not out.exists()
