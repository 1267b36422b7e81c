"""Disturb aligned crops as a gate does: loose boxes, few pixels, JPEG, motion, light, grey cameras, something in front of the face.

Each function takes one crop and gives one picture of the network's size. The only randomness is the generator passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.faces.align import TEMPLATE
from trainer.recipes.values import Augment, Recipe

Picture = NDArray[np.uint8]
SIDE_PX = 112
BENDS = 5  # a drawing is bent by a grid of this many displacements a side


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a crop a network sees: the middle between the eyes comes to (`x`, `y`) of its input, and the eyes are `apart` pixels
    from each other there."""

    x: float
    y: float
    apart: float

    def matrices(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(rows, columns), each [size, 112]: rows @ crop @ columns.T samples the part linearly. Beyond the crop its edge is repeated."""
        left, right = TEMPLATE[:2]
        middle, step = (left + right) / 2, float(np.hypot(*(right - left))) / self.apart
        across, down = (
            np.clip(middle[axis] + (np.arange(size) - at) * step, 0, SIDE_PX - 1)[:, None] for axis, at in ((0, self.x), (1, self.y))
        )
        place = np.arange(SIDE_PX)[None, :]
        columns, rows = (np.maximum(0, 1 - np.abs(place - at)).astype(np.float32) for at in (across, down))
        return rows, columns


def sampling(size: int, side: int, cut: Cut | None) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """(rows, columns) that bring a crop of `side` pixels to `size`: the whole of it, or a part; None if nothing changes."""
    if cut is not None:
        return cut.matrices(size)
    return None if size == side else (resize_matrix(size, side),) * 2


def shrink(crops: NDArray[np.uint8], size: int, cut: Cut | None = None) -> NDArray[np.float32]:
    """Resize crops uint8 [n, side, side, channels], or a part of them, to float32 [n, size, size, channels] exactly as the exported graph
    does (see `resize_matrix`)."""
    found = sampling(size, crops.shape[1], cut)
    if found is None:
        return crops.astype(np.float32)
    rows = np.tensordot(crops.astype(np.float32), found[0], axes=([1], [1]))  # n, x, c, Y
    both = np.tensordot(rows, found[1], axes=([1], [1]))  # n, c, Y, X
    return np.ascontiguousarray(both.transpose(0, 2, 3, 1))


def resize_matrix(size: int, side: int = SIDE_PX, zoom: float = 1.0) -> NDArray[np.float32]:
    """Linear resize with anti-aliasing as a matrix [size, side]: a triangle filter as wide as the step, whose rows sum to one. `zoom` above
    1 enlarges the middle and leaves out the edge; below 1 it shrinks the picture, and its edge is repeated around it.

    A matrix product gives the same numbers in Keras, numpy and ONNX Runtime; the Resize operators of three libraries do not.
    """
    step = side / size / zoom
    centre = np.clip((np.arange(size) + 0.5 - size / 2) * step + side / 2 - 0.5, 0, side - 1)
    weight = np.maximum(0.0, 1.0 - np.abs(np.arange(side)[None, :] - centre[:, None]) / max(step, 1.0))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)


def disturb(crop: Picture, size: int, settings: Augment, rng: np.random.Generator, camera: int | None = None) -> Picture:
    """Disturb one crop: uint8 [112, 112, 3] RGB in, uint8 [size, size, 3] RGB out.

    Crops that get the same number as `camera` are seen by one camera: how they are aligned and what is in front of them differs, but
    pixels, light, colour, blur, noise and compression are the same.
    """
    own, rng = rng, rng if camera is None else np.random.default_rng(camera)
    low = rng.random() < settings.low
    # A camera delivers few pixels, and everything else happens to those, so the picture is made small first.
    side = int(rng.integers(settings.low_from_px, settings.low_to_px + 1)) if low else max(size, int(rng.integers(size, SIDE_PX + 1)))
    image = filmed(_warp(crop, side, settings, own), settings, rng)
    if side != size:
        interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (size, size), interpolation=interpolation), np.uint8)
    if own.random() < settings.erase:
        image = _erase(image, own)
    return image


def as_learned(recipe: Recipe, crops: NDArray[np.uint8], rng: np.random.Generator, camera: int | None = None) -> NDArray[np.uint8]:
    """Crops uint8 [n, side, side, channels] as the network sees them while it learns, uint8 [n, size, size, channels]; with `camera` all by
    the same one."""
    change = disturb if recipe.data.kind == "people" else redrawn
    return np.stack([change(crop, recipe.network.size, recipe.augment, rng, camera) for crop in crops])


def filmed(image: Picture, settings: Augment, rng: np.random.Generator) -> Picture:
    """What light, camera and compression do to a picture, uint8 [side, side, 3] RGB; nothing in it moves."""
    if rng.random() < settings.light:
        image = _light(image, rng)
    if rng.random() < settings.colour:
        image = _colour(image, rng)
    if rng.random() < settings.shade:
        image = _shade(image, rng)
    if rng.random() < settings.blur:
        image = _blur(image, rng)
    if rng.random() < settings.noise:
        image = _noise(image, rng)
    if rng.random() < settings.grey:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < settings.jpeg:
        image = _jpeg(image, int(rng.integers(settings.jpeg_from, settings.jpeg_to + 1)))
    return image


def redrawn(drawing: Picture, size: int, settings: Augment, rng: np.random.Generator, camera: int | None = None) -> Picture:
    """Bend, move, turn and shear one drawing a little, white ink on black: uint8 [side, side, 1] in, uint8 [size, size, 1] out. A drawing
    was seen by no `camera`."""
    image = _warp(_bent(drawing, settings.elastic_px, rng) if settings.elastic_px else drawing, size, settings, rng)
    if settings.ink:
        image = np.asarray(cv2.convertScaleAbs(image, alpha=float(np.exp(settings.ink * rng.uniform(-1, 1)))), np.uint8)
    return image.reshape(size, size, 1)


def _bent(drawing: Picture, amount_px: float, rng: np.random.Generator) -> Picture:
    """Displace each pixel by a smooth random field (Simard et al. 2003), as two hands write one character in two ways."""
    side = drawing.shape[0]
    field = rng.standard_normal((BENDS, BENDS, 2), np.float32) * np.float32(amount_px)
    bend = np.asarray(cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)
    place = np.arange(side, dtype=np.float32)
    across, down = place[None, :] + bend[:, :, 0], place[:, None] + bend[:, :, 1]
    return np.asarray(cv2.remap(drawing, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _warp(crop: Picture, side: int, settings: Augment, rng: np.random.Generator) -> Picture:
    """Alignment jitter (scale, rotation, shear, shift, flip) and the resize to `side` pixels, in one sampling."""
    whole = crop.shape[0]
    scale = 1 + settings.scale * rng.uniform(-1, 1)
    angle = settings.rotation_deg * rng.uniform(-1, 1)
    middle = (whole - 1) / 2
    matrix = np.asarray(cv2.getRotationMatrix2D((middle, middle), angle, scale), np.float64)
    if settings.shear_deg:
        lean = np.tan(np.radians(settings.shear_deg * rng.uniform(-1, 1, 2)))
        matrix = np.array([[1, lean[0], -lean[0] * middle], [lean[1], 1, -lean[1] * middle]]) @ np.vstack([matrix, [0, 0, 1]])
    if settings.stretch:
        wide = float(np.exp(settings.stretch * rng.uniform(-1, 1)))
        matrix = np.array([[wide, 0, middle * (1 - wide)], [0, 1 / wide, middle * (1 - 1 / wide)]]) @ np.vstack([matrix, [0, 0, 1]])
    matrix[:, 2] = matrix[:, 2] + settings.shift_px * rng.uniform(-1, 1, 2)
    if rng.random() < settings.flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += whole - 1
    step = side / whole
    # Without a filter, sampling fewer pixels would alias. A real camera's pixel collects the light of its area.
    soft = cv2.GaussianBlur(crop, (0, 0), 0.45 / step) if step < 0.7 else crop
    matrix = np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2]]) @ np.vstack([matrix, [0, 0, 1]])
    return np.asarray(cv2.warpAffine(soft, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _light(image: Picture, rng: np.random.Generator) -> Picture:
    """Gamma, contrast around the middle grey, and brightness, in one look-up table."""
    x = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.25))
    x = (x - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.1)
    return np.asarray(cv2.LUT(image, np.clip(x * 255, 0, 255).astype(np.uint8)), np.uint8)


def _colour(image: Picture, rng: np.random.Generator) -> Picture:
    """White balance (a gain per channel) and saturation."""
    gains = np.exp(rng.normal(0, 0.1, 3))
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)[:, None, :]
    cast = cv2.LUT(image, table)
    grey = cv2.cvtColor(cv2.cvtColor(cast, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    amount = float(rng.uniform(0.3, 1.4))
    return np.asarray(cv2.addWeighted(cast, amount, grey, 1 - amount, 0), np.uint8)


def _shade(image: Picture, rng: np.random.Generator) -> Picture:
    """Light from one side."""
    side = image.shape[0]
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.7)
    place = np.linspace(-1, 1, side, dtype=np.float32)
    ramp = np.cos(angle) * place[None, :] + np.sin(angle) * place[:, None]
    return np.asarray(np.clip(image * (1 + depth * ramp)[:, :, None], 0, 255), np.uint8)


def _blur(image: Picture, rng: np.random.Generator) -> Picture:
    """Defocus, or motion over up to a fourteenth of the picture."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.3)) * image.shape[0] / 64), np.uint8)
    length = max(3, int(rng.uniform(1 / 32, 1 / 14) * image.shape[0]) | 1)
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = (length // 2) * np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([length // 2, length // 2])
    a, b = np.round(middle - reach).astype(int).tolist(), np.round(middle + reach).astype(int).tolist()
    cv2.line(kernel, a, b, 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _noise(image: Picture, rng: np.random.Generator) -> Picture:
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 12))
    return np.asarray(np.clip(image + grain, 0, 255), np.uint8)


def _jpeg(image: Picture, quality: int) -> Picture:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def _erase(image: Picture, rng: np.random.Generator) -> Picture:
    """Something in front of the face: a rectangle of one colour or of noise."""
    side = image.shape[0]
    height, width = (rng.uniform(0.12, 0.45, 2) * side).astype(int)
    top, left = int(rng.integers(0, side - height + 1)), int(rng.integers(0, side - width + 1))
    image = image.copy()
    if rng.random() < 0.5:
        image[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    else:
        image[top : top + height, left : left + width] = rng.integers(0, 256, (height, width, 3))
    return image
