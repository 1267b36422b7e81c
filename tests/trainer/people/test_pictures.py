"""Resizing, disturbing and batching: sizes, sameness, and what a seed decides."""

import dataclasses

import cv2
import numpy as np
import pytest

from daemon.core.bundle import golden_crop
from daemon.core.faces.align import TEMPLATE
from tests.trainer import faces
from trainer.learn import samplers
from trainer.models.whole import views
from trainer.people import augment
from trainer.recipes.values import Augment, Export, Network, Recipe

STILL = Augment(flip=0, scale=0, shift_px=0, rotation_deg=0, low=0, jpeg=0, blur=0, light=0, colour=0, grey=0, shade=0, noise=0, erase=0)


@pytest.mark.parametrize("size", [32, 64, 96, 112])
def test_resize_matrix_keeps_flat_and_slanted_pictures(size: int) -> None:
    flat = np.full((1, 112, 112, 3), 77, np.uint8)
    assert np.allclose(augment.shrink(flat, size), 77, atol=1e-3)
    slanted = np.broadcast_to(np.arange(112, dtype=np.uint8)[None, None, :, None], (1, 112, 112, 3))
    small = augment.shrink(np.ascontiguousarray(slanted), size)[0, size // 2, :, 0]
    # Pixel centres lie at half coordinates; away from the border a ramp stays that ramp.
    expected = (np.arange(size) + 0.5) * 112 / size - 0.5
    assert np.allclose(small[3:-3], expected[3:-3], atol=0.1)


@pytest.mark.parametrize("size", [64, 112])
def test_a_zoomed_resize_shows_the_middle(size: int) -> None:
    crop = faces.picture(1, 1).astype(np.float32)
    matrix = augment.resize_matrix(size, 112, 1.4)
    found = np.stack([matrix @ crop[:, :, channel] @ matrix.T for channel in range(3)], axis=-1)
    assert np.allclose(matrix.sum(axis=1), 1)
    expected = cv2.resize(crop[16:96, 16:96], (size, size), interpolation=cv2.INTER_AREA if size < 80 else cv2.INTER_LINEAR)
    assert np.abs(found - expected)[3:-3, 3:-3].mean() < 4 < np.abs(found - cv2.resize(crop, (size, size))).mean()


def test_the_mirror_alone_is_enlarged() -> None:
    crop = faces.picture(2, 1)[:, :, 0].astype(np.float32)
    recipe = Recipe(network=Network(size=64), export=Export(zoom=1.1))
    (rows, columns), (zoomed_rows, zoomed_columns) = views(recipe)
    plain, larger = augment.resize_matrix(64), augment.resize_matrix(64, 112, 1.1)
    assert np.allclose(rows @ crop @ columns, plain @ crop @ plain.T, atol=1e-3)
    assert np.allclose(zoomed_rows @ crop @ zoomed_columns, larger @ crop[:, ::-1] @ larger.T, atol=1e-3)


@pytest.mark.parametrize(("size", "side"), [(32, 56), (28, 28), (64, 112)])
def test_a_picture_zoomed_out_has_its_edge_around_it(size: int, side: int) -> None:
    for zoom in (0.5, 0.9):
        matrix = augment.resize_matrix(size, side, zoom)
        assert np.allclose(matrix.sum(axis=1), 1)
        ramp = matrix @ np.arange(side, dtype=np.float32)
        assert ramp[0] == pytest.approx(0, abs=1) and ramp[-1] == pytest.approx(side - 1, abs=1)
        assert ramp[size // 2] - ramp[size // 2 - 1] == pytest.approx(side / size / zoom, rel=0.2)


def test_every_zoom_has_its_shifts() -> None:
    recipe = Recipe(network=Network(size=64), export=Export(flip=False, shift_px=2, zooms=(0.9, 1.0, 1.1)))
    found = views(recipe)
    plain = views(dataclasses.replace(recipe, export=Export(flip=False, shift_px=2)))
    assert len(found) == 15 and len(plain) == 5
    assert all(np.array_equal(one[axis], other[axis]) for one, other in zip(found[5:10], plain, strict=True) for axis in (0, 1))


def test_shrinking_is_close_to_opencv_area() -> None:
    crop = faces.picture(1, 1)
    ours = augment.shrink(crop[None], 56)[0]
    theirs = cv2.resize(crop, (56, 56), interpolation=cv2.INTER_AREA).astype(np.float32)
    assert np.abs(ours - theirs).mean() < 4


def test_nothing_disturbed_is_the_resized_crop() -> None:
    crop = golden_crop(1)
    rng = np.random.default_rng(1)
    for _ in range(5):
        found = augment.disturb(crop, 64, STILL, rng).astype(np.float32)
        assert np.abs(found - augment.shrink(crop[None], 64)[0]).mean() < 5


def test_flip_mirrors() -> None:
    crop = golden_crop(2)
    found = augment.disturb(crop, 64, dataclasses.replace(STILL, flip=1), np.random.default_rng(1)).astype(np.float32)
    assert np.abs(found - augment.shrink(crop[None], 64)[0][:, ::-1]).mean() < 5


@pytest.mark.parametrize("name", ["low", "jpeg", "blur", "light", "colour", "grey", "shade", "noise", "erase"])
def test_each_disturbance_changes_the_picture_and_keeps_its_form(name: str) -> None:
    crop = golden_crop(3)
    how = dataclasses.replace(STILL, **{name: 1.0})  # type: ignore[arg-type]  # all of them are shares
    for seed in range(10):
        found = augment.disturb(crop, 64, how, np.random.default_rng(seed))
        assert found.shape == (64, 64, 3) and found.dtype == np.uint8
        assert not np.array_equal(found, augment.disturb(crop, 64, STILL, np.random.default_rng(seed)))
    if name == "grey":
        assert np.array_equal(found[:, :, 0], found[:, :, 2])


def test_the_generator_decides_everything() -> None:
    crop = golden_crop(4)
    one = [augment.disturb(crop, 48, Augment(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(one[0], one[1]) and not np.array_equal(one[0], one[2])


def test_shuffled_gives_everything_once_per_epoch() -> None:
    sample = samplers.shuffled(10, 4, seed=1)
    epoch = np.concatenate([sample(step) for step in range(3)])
    assert sorted(epoch[:10]) == list(range(10))
    assert [len(sample(step)) for step in range(3)] == [4, 4, 4]
    assert not np.array_equal(np.concatenate([sample(step) for step in range(3, 6)]), epoch)
    assert np.array_equal(sample(1), samplers.shuffled(10, 4, seed=1)(1))
    assert len(samplers.shuffled(3, 8, seed=1)(0)) == 8


def test_people_by_images() -> None:
    person = np.repeat([3, 5, 8, 9], [1, 2, 5, 9])
    sample = samplers.people_by_images(person, people=3, images=4, seed=1)
    for step in range(20):
        rows = sample(step)
        who, counts = np.unique(person[rows], return_counts=True)
        assert len(who) == 3 and set(counts) == {4}
        for own in who[np.isin(who, [8, 9])]:
            assert len(set(rows[person[rows] == own])) == 4
    assert np.array_equal(sample(7), sample(7)) and not np.array_equal(sample(7), sample(8))
    with pytest.raises(ValueError, match="two people"):
        samplers.people_by_images(np.zeros(5, np.int64), 2, 2, seed=1)


def test_one_camera_sees_a_batch_in_one_light_and_turns_heads_apart() -> None:
    loud = dataclasses.replace(STILL, light=1, colour=1, noise=1, jpeg=1, low=1, low_from_px=28, low_to_px=64)
    crop = golden_crop(3)
    rng = np.random.default_rng(1)
    first, second = (augment.disturb(crop, 64, loud, rng, camera=7) for _ in range(2))
    assert (first == second).all()
    assert np.abs(first.astype(int) - augment.disturb(crop, 64, loud, rng, camera=8)).mean() > 5
    moved = dataclasses.replace(loud, shift_px=6, rotation_deg=15)
    first, second = (augment.disturb(crop, 64, moved, rng, camera=7) for _ in range(2))
    assert (first != second).any()


CUTS = [(150, augment.Cut(74, 43, 55.7)), (160, augment.Cut(80, 60, 50)), (112, augment.Cut(56, 40, 45))]


@pytest.mark.parametrize(("size", "cut"), CUTS)
def test_a_cut_brings_the_eyes_where_the_network_wants_them(size: int, cut: augment.Cut) -> None:
    rows, columns = cut.matrices(size)
    left, right = TEMPLATE[0], TEMPLATE[1]
    # A picture whose brightness is its coordinate tells which place of the crop a place of the input shows.
    across, down = columns @ np.arange(112.0), rows @ np.arange(112.0)
    middle = (left + right) / 2
    assert np.interp(cut.x, np.arange(size), across) == pytest.approx(middle[0], abs=0.02)
    assert np.interp(cut.y, np.arange(size), down) == pytest.approx(middle[1], abs=0.02)
    eyes = np.interp([cut.x - cut.apart / 2, cut.x + cut.apart / 2], np.arange(size), across)
    assert eyes == pytest.approx([left[0], right[0]], abs=0.1)
    assert np.allclose(rows.sum(axis=1), 1) and np.allclose(columns.sum(axis=1), 1)
    crop = golden_crop(5)
    by_hand = np.stack([rows @ crop[:, :, channel].astype(np.float32) @ columns.T for channel in range(3)], axis=-1)
    assert np.abs(augment.shrink(crop[None], size, cut)[0] - by_hand).max() < 1e-3


def test_a_bent_drawing_is_the_same_drawing_bent() -> None:
    drawing = np.zeros((56, 56, 1), np.uint8)
    drawing[10:46, 26:30] = 255
    still = Augment(flip=0, scale=0, shift_px=0, rotation_deg=0)
    straight, bent = (
        augment.redrawn(drawing, 56, dataclasses.replace(still, elastic_px=by), np.random.default_rng(1)) for by in (0.0, 1.5)
    )
    assert np.array_equal(straight, drawing) and bent.shape == drawing.shape
    assert 0 < np.abs(bent.astype(int) - drawing).mean() < 0.8 * drawing.mean()
    assert 0.7 < bent.mean() / drawing.mean() < 1.4
    # The row of the middle of the ink moves by pixels, not by a part of the picture.
    middles = [np.average(np.arange(56), weights=row) for row in bent[14:42, :, 0]]
    assert 0.2 < np.abs(np.array(middles) - 27.5).max() < 6


def test_some_people_are_in_every_batch() -> None:
    person = np.repeat(np.arange(40), 5)
    sample = samplers.people_by_images(person, 8, 3, seed=1, always=3)
    batches = [person[sample(step)].reshape(8, 3) for step in range(60)]
    assert all((batch == batch[:, :1]).all() and list(batch[:3, 0]) == [0, 1, 2] for batch in batches)
    others = np.concatenate([batch[3:, 0] for batch in batches])
    assert set(others.tolist()) == set(range(3, 40)) and all(len(set(batch[:, 0].tolist())) == 8 for batch in batches)
