"""SIGKILL while a recorder writes: what is on the tapes is what the gate saw, in order, to the last whole part."""

import os
import random
from itertools import islice
from pathlib import Path

import pytest

from daemon.edges.recorder import RecordedFrames, catalogue, tapes_in
from tests.faults import children
from tests.faults.children import killed
from tests.fixtures.frames import camera, same

KEY = b"k" * 32
ROUNDS = max(3, int(os.environ.get("OSTIARY_FAULTS", "0")) // 100)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_recorder_that_is_killed_leaves_what_it_wrote(tmp_path: Path, round_: int) -> None:
    sent = killed(children.record_for_ever, tmp_path, KEY, after_s=random.Random(round_).uniform(0.05, 1.0))
    paths = tapes_in(tmp_path)
    warnings, found = list[str](), []
    if paths:
        source = RecordedFrames(paths, KEY, warnings.append)
        while (frame := source.read(0.0)) is not None:
            found.append(frame)
        assert all(each.ending == "whole" for each in catalogue(tmp_path, KEY)[:-1])
    # At most what may wait was offered and not yet written; nothing is in another's place, nothing is missing between.
    assert len(sent) - 1 - 17 <= len(found)
    assert all(same(seen, kept) for seen, kept in zip(islice(camera(), len(found)), found, strict=True))
    assert not [each for each in catalogue(tmp_path, KEY) if each.ending == "being written"]
