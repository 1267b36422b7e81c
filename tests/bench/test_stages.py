"""A sample belongs to the innermost of our functions that has a stage."""

from bench.stages import spent, stage
from tests.conftest import ROOT

DEEP = "run (threading.py:9);_work (/x/daemon/serving/gate_worker.py:80);detect (/x/daemon/edges/detector/__init__.py:40)"


def test_the_innermost_function_says_the_stage() -> None:
    assert stage(DEEP) == "detect"
    assert stage(f"{DEEP};place (/x/daemon/edges/detector/aligner.py:50);run (/y/onnxruntime/session.py:3)") == "align"
    assert stage("run (threading.py:9)") == "other"


def test_a_threads_time_is_shared_by_its_samples_but_for_those_that_wait() -> None:
    lines = [
        f"thread (7): gate;{DEEP} 3",
        "thread (7): gate;run (/y/other.py:9) 1",
        f"thread (7): gate;{DEEP};wait (/y/threading.py:331) 90",
    ]
    found = spent("\n".join(lines), {7: 4.0, 8: 1.0})
    assert (found["detect"], found["other"], sum(found.values())) == (3.0, 2.0, 5.0)


def test_the_files_of_the_stages_exist() -> None:
    ours = ("daemon/edges/camera/", "daemon/core/faces/align.py", "daemon/edges/detector/aligner.py", "daemon/edges/embedder/")
    assert all((ROOT / path).exists() for path in ours)
    assert [stage(f"f (/x/{path}:1)") for path in ours] == ["decode", "align", "align", "embed"]
