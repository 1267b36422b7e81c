"""Crops mapped from a file are the crops: in every way to take some of them, on a second run, after a kill, and with a changed picture."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.edges.files import FileError
from tests.trainer import faces
from trainer.people import data, datasets, pixel_map
from trainer.people.data import Crops, DataError
from trainer.recipes import reading


def read(people: dict[str, Path], cache: Path | None) -> Crops:
    return data.read(people["crops"], 112, 3, resize=False, cache=cache)


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def refuse(*_: Any) -> None:
    raise AssertionError("the pictures were decoded again")


def test_mapped_crops_are_the_crops(people: dict[str, Path], tmp_path: Path) -> None:
    plain, mapped = read(people, None), read(people, tmp_path)
    assert isinstance(mapped.pixels, pixel_map.Rows)
    assert (mapped.digest, mapped.names, mapped.people) == (plain.digest, plain.names, plain.people)
    assert mapped.pixels.shape == plain.pixels.shape and mapped.pixels.dtype == np.uint8 and len(mapped.pixels) == len(plain)
    assert np.array_equal(np.asarray(mapped.pixels), plain.pixels)
    some = data.split(plain.people, people["split"])["fit"]
    rows = np.array([5, 2, 9])
    for one, two in ((plain, mapped), (plain.of(some), mapped.of(some)), (plain.of(some).at(rows), mapped.of(some).at(rows))):
        assert np.array_equal(one.person, two.person) and len(one) == len(two)
        for key in (1, np.int64(2), slice(1, 3), slice(None, None, 2), np.array([2, 0]), -1):
            assert np.array_equal(one.pixels[key], two.pixels[key])
        assert all(np.array_equal(a, b) for a, b in zip(one.pixels, two.pixels, strict=True))
        assert np.array_equal(datasets.marks(one), datasets.marks(two))
    assert isinstance(mapped.of(some).with_images(2).pixels, pixel_map.Rows), "taking people must not read their pixels"


def test_a_batch_is_a_copy_and_the_file_is_read_only(people: dict[str, Path], tmp_path: Path) -> None:
    mapped = read(people, tmp_path)
    mapped.pixels[np.array([0, 1])][:] = 0
    with pytest.raises(ValueError, match="read-only"):
        mapped.pixels[0][:] = 0


def test_a_picture_that_changes_between_the_digest_and_the_map_is_refused(
    people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the new pixels would stand under the old digest."""
    shutil.copytree(people["crops"], tmp_path / "crops")
    mapped, picture = pixel_map.mapped, min((tmp_path / "crops").rglob("*.png"))

    def change(*given: Any) -> Any:
        picture.write_bytes(max((tmp_path / "crops").rglob("*.png")).read_bytes())
        return mapped(*given)

    monkeypatch.setattr(pixel_map, "mapped", change)
    with pytest.raises(DataError, match=f"{picture.name} in .* changes while it is read"):
        data.read(tmp_path / "crops", 112, 3, resize=False, cache=tmp_path / "cache")
    assert not files(tmp_path / "cache")


def test_the_second_run_finds_the_file_and_changed_pictures_do_not(
    people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(people, tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr("cv2.imdecode", refuse)
        again = read(people, tmp_path / "cache")
    assert np.array_equal(np.asarray(first.pixels), np.asarray(again.pixels))
    other = shutil.copytree(people["crops"], tmp_path / "other")
    shutil.copy(other / "person00" / "1.png", other / "person00" / "0.png")
    changed = read({"crops": other}, tmp_path / "cache")
    assert np.array_equal(changed.pixels[0], first.pixels[1]) and changed.digest != first.digest
    assert len(files(tmp_path / "cache")) == 2


def test_what_a_kill_left_is_made_again(people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(people, tmp_path / "whole")
    (name,) = files(tmp_path / "whole")
    cache = tmp_path / "cache"
    cache.mkdir()
    for left, content in ((f"{name}.part", b"half"), (name, (tmp_path / "whole" / name).read_bytes()[:5000]), (name, b"")):
        (cache / left).write_bytes(content)
        assert np.array_equal(np.asarray(read(people, cache).pixels), np.asarray(expected.pixels))
        assert files(cache) == [name]


def test_two_runs_that_begin_together_make_one_file(tmp_path: Path) -> None:
    """The second waits for the first, whose file would otherwise be half of the second's."""
    made: list[int] = []

    def picture(index: int) -> np.ndarray:
        made.append(index)
        time.sleep(0.01)
        return np.full((4, 4, 3), index, np.uint8)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: pixel_map.mapped(tmp_path, "d" * 64, (20, 4, 4, 3), picture), range(2)))
    assert made == list(range(20))
    assert all((rows[index] == index).all() for rows in both for index in range(20))


def test_a_bad_picture_leaves_no_file(tmp_path: Path) -> None:
    crops = faces.folder(tmp_path / "crops", people=2, images=2)
    (crops / "person01" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="person01/1"):
        data.read(crops, 112, 3, resize=False, cache=tmp_path / "cache")
    assert not files(tmp_path / "cache")


def test_a_full_disk_is_said_before_the_work(people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr("cv2.imdecode", refuse)
    with pytest.raises(FileError, match="No space left"):
        read(people, tmp_path)
    assert not files(tmp_path)


def test_too_large_for_memory_is_said_with_the_way_out(people: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert pixel_map.need_memory((1, 2, 2, 3)) is None
    assert pixel_map.need_memory((10**9, 112, 112, 3)) == 37632 * 10**9
    monkeypatch.setattr(pixel_map, "need_memory", lambda shape: 37_000_000_000)
    with pytest.raises(DataError) as caught:
        read(people, None)
    assert "37 GB" in caught.value.message and "--cache" in caught.value.hint


def test_drawings_need_no_cache(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="take no cache"):
        datasets.parts(reading.read(reading.find("mnist-random")), tmp_path / "mnist.npz", None, cache=tmp_path)
