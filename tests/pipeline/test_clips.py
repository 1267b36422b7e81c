"""The gate clips through the whole daemon over a real broker: who is let in, who is not (bench/gate_clips.py prints the table)."""

from pathlib import Path

import pytest

from bench.gate_clips import ENROLLED, run


@pytest.mark.data
@pytest.mark.broker
@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_enrolled_from_one_frame_each_nobody_is_let_in_as_somebody_else(
    data_dir: Path, mosquitto_installed: None, tmp_path: Path, detector: str
) -> None:
    passages, metrics = run(data_dir, "haar" if detector == "haar" else str(data_dir / "models/yunet.onnx"), "", tmp_path)
    assert not [p for p in passages if p.wrong]
    for person in ENROLLED:
        assert any(p.rightful for p in passages if p.person == person), f"the gate never opened for {person}"
    (stranger,) = [p for p in passages if not p.enrolled]
    assert {d["decision"] for d in stranger.decisions} == {"unknown"}
    assert "ostiary_decisions_total" in metrics and "ostiary_gallery_people 4.0" in metrics
    # Every passage's sequence is whole: nothing was lost between the gate and the listener.
    for p in passages:
        assert [d["sequence"] for d in p.decisions] == list(range(1, len(p.decisions) + 1))
