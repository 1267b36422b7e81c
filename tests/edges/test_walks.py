"""The walks of a calibration that is not finished: sealed, whole, and of one model."""

from pathlib import Path

import numpy as np
import pytest

from daemon.edges.walks import WalksError, forget_walks, read_walks, write_walks
from tests.fixtures.walks import walks

KEY = bytes(range(32))


def test_what_was_seen_comes_back_with_the_key_and_the_model(tmp_path: Path) -> None:
    file, passings = tmp_path / "calibration" / "north.walks", [walks("A", "B", 0.4), walks("C")]
    assert read_walks(file, KEY, "faces-1") == []
    write_walks(file, KEY, "faces-1", passings)
    found = read_walks(file, KEY, "faces-1")
    assert [each.person for each in found] == ["A", "C"]
    assert all(np.array_equal(a.looks, b.looks) for a, b in zip(found, passings, strict=True))
    assert read_walks(file, KEY, "faces-2") == [], "vectors of two models are never compared"
    assert file.stat().st_mode & 0o777 == 0o600 and passings[0].looks.tobytes() not in file.read_bytes()


def test_another_key_and_every_changed_byte_are_noticed(tmp_path: Path) -> None:
    file = tmp_path / "north.walks"
    write_walks(file, KEY, "faces-1", [walks("A")])
    with pytest.raises(WalksError):
        read_walks(file, bytes(32), "faces-1")
    whole = file.read_bytes()
    for place in range(0, len(whole), 5):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(WalksError):
            read_walks(file, KEY, "faces-1")
    for cut in (0, 10, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(WalksError):
            read_walks(file, KEY, "faces-1")


def test_who_is_revoked_is_in_no_file_any_more(tmp_path: Path) -> None:
    for gate, people in (("north", "ABA"), ("south", "C")):
        write_walks(tmp_path / f"{gate}.walks", KEY, "faces-1", [walks(person) for person in people])
    untouched = (tmp_path / "south.walks").read_bytes()
    forget_walks(tmp_path, KEY, "A")
    assert [each.person for each in read_walks(tmp_path / "north.walks", KEY, "faces-1")] == ["B"]
    assert (tmp_path / "south.walks").read_bytes() == untouched
    forget_walks(tmp_path / "nowhere", KEY, "A")
    (tmp_path / "north.walks").write_bytes(b"odd")
    with pytest.raises(WalksError):
        forget_walks(tmp_path, KEY, "B")
