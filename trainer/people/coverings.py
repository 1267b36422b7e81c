"""Draw things over aligned crops: what hides a face (glasses, masks, helmets, hands), and what does not (spectacles, hair, a cap, shadows).

Every kind is a function of a generator and gives a `Layer`. The kinds of LEARNED teach, those of UNSEEN only test: a model that knew only
the drawings it has seen would be worth nothing at a gate. Places are in pixels of the crop (`daemon.core.faces.align.TEMPLATE`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.people.augment import Picture

SIDE_PX = 112
Plane = NDArray[np.float32]

EYES = (slice(42, 62), slice(24, 88))
"""Rows and columns of the region around both eyes."""
MOUTH = (slice(64, 106), slice(34, 78))
"""Rows and columns of the region of nose and mouth."""
REGIONS = (EYES, MOUTH)
"""In the order of the model's answers."""
HIDDEN, OPEN = 0.45, 0.12
"""A region is covered from the first share of its area on, and open up to the second. Between them nobody can say."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Something in front of a face: `paint` float32 [112, 112, 3] RGB, seen where `opacity` float32 [112, 112] is more than 0."""

    paint: Plane
    opacity: Plane

    def over(self, crop: Picture) -> Picture:
        """The crop, uint8 [112, 112, 3] RGB, behind it."""
        seen = self.opacity[:, :, None]
        return np.asarray(np.clip(crop * (1 - seen) + self.paint * seen, 0, 255), np.uint8)

    @property
    def covered(self) -> NDArray[np.float32]:
        """The share of each region that is hidden, float32 [len(REGIONS)]."""
        return np.array([self.opacity[region].mean() for region in REGIONS], np.float32)


Kind = Callable[[np.random.Generator, Picture], Layer]
"""Draws one; the picture is another face, for what looks like nature or like a print."""


# ---- paint and shapes


def _colour(rng: np.random.Generator) -> Plane:
    kind = rng.random()
    base: NDArray[np.floating]
    if kind < 0.35:  # dark cloth and plastic
        base = np.full(3, rng.uniform(0, 70)) + rng.normal(0, 8, 3)
    elif kind < 0.5:  # paper and cloth
        base = np.full(3, rng.uniform(150, 250)) + rng.normal(0, 12, 3)
    elif kind < 0.75:
        base = _skin(rng)
    else:
        base = rng.uniform(0, 255, 3)
    return np.asarray(base, np.float32)


def _skin(rng: np.random.Generator) -> Plane:
    return np.asarray(rng.uniform(60, 240) * np.array([1.0, rng.uniform(0.68, 0.85), rng.uniform(0.5, 0.78)]), np.float32)


def _shaded(colour: Plane, rng: np.random.Generator, depth: float = 0.5) -> Plane:
    """One colour under a light from one side."""
    y, x = np.mgrid[-1 : 1 : SIDE_PX * 1j, -1 : 1 : SIDE_PX * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = 1 + rng.uniform(0, depth) * (np.cos(angle) * x + np.sin(angle) * y)
    return np.asarray(colour * ramp[:, :, None], np.float32)


def _textured(paint: Plane, rng: np.random.Generator, other: Picture) -> Plane:
    """Plain, rough, striped, or a piece of another picture."""
    kind = rng.random()
    if kind < 0.35:
        return paint
    if kind < 0.6:
        rough = cv2.GaussianBlur(rng.standard_normal((SIDE_PX, SIDE_PX, 1), np.float32), (0, 0), float(rng.uniform(0.6, 6)))
        return np.asarray(paint + rng.uniform(8, 40) * (rough / (rough.std() + 1e-6))[:, :, None], np.float32)
    if kind < 0.75:
        return _striped(paint, rng, _colour(rng))
    return _piece(other, rng)


def _striped(paint: Plane, rng: np.random.Generator, colour: Plane) -> Plane:
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    angle, width = rng.uniform(0, np.pi), rng.uniform(3, 14)
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / width + rng.uniform(0, 6)) > rng.uniform(-0.5, 0.5)
    return np.asarray(np.where(wave[:, :, None], colour, paint), np.float32)


def _piece(other: Picture, rng: np.random.Generator) -> Plane:
    """A piece of another picture, enlarged, in another place and in another light."""
    side = int(rng.integers(24, 80))
    top, left = rng.integers(0, SIDE_PX - side, 2)
    piece = cv2.resize(other[top : top + side, left : left + side], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(piece * rng.uniform(0.5, 1.3) + rng.normal(0, 15, 3), np.float32)


def _filled(points: NDArray[np.float64], soft: float) -> Plane:
    plane = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    cv2.fillPoly(plane, [np.rint(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return _soft(plane, soft)


def _soft(plane: Plane, sigma: float) -> Plane:
    return np.asarray(np.clip(cv2.GaussianBlur(plane, (0, 0), max(0.3, sigma)), 0, 1), np.float32)


def _round(centre: tuple[float, float], axes: tuple[float, float], degrees: float, power: float = 2.0) -> NDArray[np.float64]:
    """A superellipse: 2 is an ellipse, more is squarer."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    c, s = np.cos(t), np.sin(t)
    x = axes[0] * np.sign(c) * np.abs(c) ** (2 / power)
    y = axes[1] * np.sign(s) * np.abs(s) ** (2 / power)
    a = np.radians(degrees)
    return np.stack([centre[0] + x * np.cos(a) - y * np.sin(a), centre[1] + x * np.sin(a) + y * np.cos(a)], axis=1)


def _edge(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.3, 1.6))


def _either(rng: np.random.Generator) -> tuple[float, float]:
    """The middle of one of the regions, roughly."""
    x, y = (56.0, 52.0) if rng.random() < 0.5 else (56.0, 86.0)
    return x + float(rng.normal(0, 5)), y + float(rng.normal(0, 4))


# ---- kinds to learn from


def dark_glasses(rng: np.random.Generator, other: Picture) -> Layer:
    """Two lenses and a bridge."""
    wide, high, power = rng.uniform(13, 19), rng.uniform(8, 15), rng.uniform(1.8, 5)
    y, tilt = rng.uniform(50, 56), rng.uniform(-8, 8)
    plane = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for x, lean in ((38 + rng.normal(0, 1.5), tilt), (74 + rng.normal(0, 1.5), -tilt)):
        plane = np.maximum(plane, _filled(_round((x, y), (wide, high), lean, power), 0.4))
    colour = rng.uniform(0, 70, 3) if rng.random() < 0.8 else rng.uniform(0, 200, 3)
    paint = _shaded(np.asarray(colour, np.float32), rng, 0.9)
    if rng.random() < 0.4:  # a reflection
        paint = paint + rng.uniform(20, 120) * _filled(_round((rng.uniform(25, 90), y - 3), (rng.uniform(4, 18), 4), 20), 2.5)[:, :, None]
    opacity = plane * np.float32(rng.uniform(0.72, 1.0))
    frame = _filled(_round((56, y - rng.uniform(0, 6)), (rng.uniform(38, 50), rng.uniform(1, 2.2)), 0, 6), 0.4)
    return Layer(paint, np.maximum(opacity, frame))


def cloth_mask(rng: np.random.Generator, other: Picture) -> Layer:
    """From the bridge of the nose to below the chin."""
    top, side, cheek = rng.uniform(58, 70), rng.uniform(12, 24), rng.uniform(66, 78)
    points = [(side, cheek), (44, top + 4), (56, top), (68, top + 4), (112 - side, cheek), (96 - side / 2, 112), (16 + side / 2, 112)]
    plane = _filled(np.array(points) + rng.normal(0, 1.2, (7, 2)), _edge(rng))
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), plane)


def blob(rng: np.random.Generator, other: Picture) -> Layer:
    """A polygon of any shape over one of the regions."""
    count = int(rng.integers(4, 10))
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    reach = rng.uniform(16, 46, count)
    x, y = _either(rng)
    points = np.stack([x + 1.3 * reach * np.cos(angle), y + 0.8 * reach * np.sin(angle)], axis=1)
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), _filled(points, _edge(rng)) * np.float32(rng.uniform(0.8, 1)))


def thing(rng: np.random.Generator, other: Picture) -> Layer:
    """A round or square thing held before the face: a cup, a card, a bar."""
    axes = (float(rng.uniform(16, 50)), float(rng.uniform(12, 40)))
    plane = _filled(_round(_either(rng), axes, float(rng.uniform(-90, 90)), float(rng.uniform(1.8, 8))), _edge(rng))
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), plane)


def low_cap(rng: np.random.Generator, other: Picture) -> Layer:
    """A cap or cloth drawn down over the eyes."""
    low, bend = rng.uniform(56, 66), rng.uniform(-8, 10)
    left, right = low + rng.normal(0, 5, 2)
    plane = _filled(np.array([(-9, -9), (121, -9), (121, right), (56, low + bend), (-9, left)]), _edge(rng))
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), plane)


def side(rng: np.random.Generator, other: Picture) -> Layer:
    """One half of the face behind something, a door or a person."""
    x, lean = rng.uniform(50, 64), rng.uniform(-14, 14)
    points = np.array([(-9.0, -9.0), (x + lean, -9.0), (x - lean, 121.0), (-9.0, 121.0)])
    if rng.random() < 0.5:
        points[:, 0] = 111 - points[:, 0]
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), _filled(points, _edge(rng)))


def wrapped(rng: np.random.Generator, other: Picture) -> Layer:
    """Everything but a hole: a hood, or a head in cloth."""
    at = (56.0, float(rng.uniform(48, 56))) if rng.random() < 0.5 else (56.0, float(rng.uniform(80, 96)))
    hole = _filled(_round(at, (float(rng.uniform(12, 40)), float(rng.uniform(6, 13))), float(rng.uniform(-6, 6)), 2.5), _edge(rng))
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), np.asarray(1 - hole, np.float32))


LEARNED: Mapping[str, Kind] = {
    kind.__name__: kind for kind in (dark_glasses, cloth_mask, blob, thing, low_cap, side, wrapped)
}


# ---- kinds to test on


def helmet(rng: np.random.Generator, other: Picture) -> Layer:
    """A full-face helmet: a shell around an opening, behind a tinted visor with a reflection."""
    opening = _round((56, float(rng.uniform(52, 58))), (float(rng.uniform(36, 44)), float(rng.uniform(16, 24))), 0, 3.5)
    hole = _filled(opening, 0.8)
    shell = _shaded(_colour(rng), rng, 0.8)
    visor = _shaded(np.asarray(rng.uniform(0, 60, 3), np.float32), rng, 0.9)
    glare = _filled(_round((float(rng.uniform(30, 80)), 46), (float(rng.uniform(8, 26)), 5), -12), 3)[:, :, None]
    paint = shell * (1 - hole[:, :, None]) + (visor + rng.uniform(30, 150) * glare) * hole[:, :, None]
    return Layer(np.asarray(paint, np.float32), np.asarray(1 - hole * (1 - rng.uniform(0.55, 1.0)), np.float32))


def hand(rng: np.random.Generator, other: Picture) -> Layer:
    """Four fingers and a palm, from below or from the side."""
    plane, lines = np.zeros((SIDE_PX, SIDE_PX), np.float32), np.zeros((SIDE_PX, SIDE_PX), np.float32)
    x, y = (56.0, float(rng.uniform(48, 56))) if rng.random() < 0.4 else (56.0, float(rng.uniform(78, 92)))
    lean, thick = np.radians(rng.uniform(-35, 35)), int(rng.integers(9, 13))
    along, across = np.array([np.cos(lean), np.sin(lean)]), np.array([-np.sin(lean), np.cos(lean)])
    for finger in range(4):
        middle = np.array([x, y]) + across * (finger - 1.5) * (thick - 0.5)
        ends = middle - along * rng.uniform(26, 38), middle + along * 70
        a, b = (tuple(np.rint(end).astype(int).tolist()) for end in ends)
        cv2.line(plane, a, b, 1.0, thick, cv2.LINE_AA)
        edge = across * thick / 2
        c, d = (tuple(np.rint(end + edge).astype(int).tolist()) for end in ends)
        cv2.line(lines, c, d, 1.0, 1, cv2.LINE_AA)
    if rng.random() < 0.5:
        plane, lines = plane[:, ::-1], lines[:, ::-1]
    paint = _shaded(_skin(rng), rng, 0.4) * (1 - 0.35 * _soft(np.ascontiguousarray(lines), 0.8))[:, :, None]
    return Layer(np.asarray(paint, np.float32), _soft(np.ascontiguousarray(plane), 0.6))


def scarf(rng: np.random.Generator, other: Picture) -> Layer:
    """Knitted cloth with folds and a wavy edge, over nose or mouth and everything below."""
    x = np.linspace(-4, 116, 24)
    top = rng.uniform(62, 72) + 4 * np.sin(x / rng.uniform(7, 16) + rng.uniform(0, 6)) + 0.004 * (x - 56) ** 2 * rng.uniform(-1, 1)
    points = np.concatenate([np.stack([x, top], 1), [(116, 116), (-4, 116)]])
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    folds = np.sin(rows / rng.uniform(2.5, 6) + 2 * np.sin(columns / rng.uniform(12, 30)))
    knit = np.sin(columns * rng.uniform(1.2, 2)) * np.sin(rows * rng.uniform(1.2, 2))
    paint = _shaded(_colour(rng), rng) * (1 + 0.25 * folds + 0.12 * knit)[:, :, None]
    return Layer(np.asarray(paint, np.float32), _filled(points, 0.8))


def printed_mask(rng: np.random.Generator, other: Picture) -> Layer:
    """A mask with the mouth of somebody else on it."""
    shift = rng.normal(0, 3, 2)
    moved = cv2.warpAffine(other, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE)
    outline = np.array([(20, 68), (40, 64), (56, 60), (72, 64), (92, 68), (90, 92), (72, 112), (40, 112), (22, 92)], np.float64)
    outline += rng.normal(0, 1.5, (9, 2))
    plane = _filled(outline, 0.5)
    hem = np.clip(plane - _filled((outline - (56, 88)) * 0.93 + (56, 88), 0.5), 0, 1)[:, :, None]
    paint = np.asarray(moved, np.float32) * (1 - hem) + _colour(rng) * hem
    return Layer(np.asarray(paint, np.float32), plane)


def goggles(rng: np.random.Generator, other: Picture) -> Layer:
    """One large mirror over both eyes, with a frame and a strap."""
    at, axes = (56.0, float(rng.uniform(49, 55))), (float(rng.uniform(34, 44)), float(rng.uniform(13, 19)))
    lens, frame = _filled(_round(at, axes, 0, 3), 0.4), _filled(_round(at, (axes[0] + 4, axes[1] + 4), 0, 3), 0.5)
    strap = _filled(np.array([(-4.0, at[1] - 6), (116, at[1] - 6), (116, at[1] + 6), (-4, at[1] + 6)]), 0.5)
    ramp = np.linspace(0, 1, SIDE_PX, dtype=np.float32)[:, None, None]
    mirror = rng.uniform(40, 255, 3) * ramp + rng.uniform(0, 200, 3) * (1 - ramp)
    paint = _colour(rng) * (1 - lens[:, :, None]) + np.broadcast_to(mirror, (SIDE_PX, SIDE_PX, 3)) * lens[:, :, None]
    return Layer(np.asarray(paint, np.float32), np.maximum(frame, strap))


def balaclava(rng: np.random.Generator, other: Picture) -> Layer:
    """Knitted cloth with two holes for the eyes and one for the mouth, or none."""
    plane = np.ones((SIDE_PX, SIDE_PX), np.float32)
    holes = [(38, 52, 11, 7), (74, 52, 11, 7)] + ([(56, 92, 12, 5)] if rng.random() < 0.4 else [])
    for x, y, wide, high in holes:
        plane = plane - _filled(_round((x + float(rng.normal(0, 1)), y), (wide * rng.uniform(0.9, 1.2), high), 0), 0.5)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    knit = np.sin(columns * rng.uniform(0.9, 1.8)) * np.sin(rows * rng.uniform(0.9, 1.8))
    return Layer(np.asarray(_shaded(_colour(rng), rng) * (1 + 0.2 * knit)[:, :, None], np.float32), np.clip(plane, 0, 1))


def phone(rng: np.random.Generator, other: Picture) -> Layer:
    """A telephone held before mouth or eyes, its camera towards the gate, with a hand behind it."""
    x, y = _either(rng)
    lean = float(rng.choice([0, 90])) + float(rng.uniform(-15, 15))
    plane = _filled(_round((x, y), (float(rng.uniform(38, 50)), float(rng.uniform(19, 25))), lean, 7), 0.4)
    paint = _shaded(np.asarray(np.full(3, rng.uniform(0, 240)) + rng.normal(0, 10, 3), np.float32), rng)
    for spot in range(int(rng.integers(1, 4))):
        lens = _filled(_round((x - 20 + 9 * spot, y - 8), (4, 4), 0), 0.4)[:, :, None]
        paint = paint * (1 - lens) + 15 * lens
    return Layer(np.asarray(paint, np.float32), plane)


UNSEEN: Mapping[str, Kind] = {kind.__name__: kind for kind in (helmet, hand, scarf, printed_mask, goggles, balaclava, phone)}


# ---- what does not hide a face


def spectacles(rng: np.random.Generator, other: Picture) -> Layer:
    """Clear glasses: frames, a light tint, perhaps a reflection."""
    wide, high, power, y = rng.uniform(12, 18), rng.uniform(8, 14), rng.uniform(1.8, 5), rng.uniform(50, 56)
    thick = rng.uniform(1.0, 3.2)
    rims, lenses = np.zeros((SIDE_PX, SIDE_PX), np.float32), np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for x in (38 + rng.normal(0, 1.5), 74 + rng.normal(0, 1.5)):
        outer, inner = (_filled(_round((x, y), (wide + by, high + by), 0, power), 0.4) for by in (0, -thick))
        rims, lenses = np.maximum(rims, outer - inner), np.maximum(lenses, inner)
    bridge = _filled(np.array([(50, y - 3), (62, y - 3), (62, y - 3 + thick), (50, y - 3 + thick)]), 0.4)
    arms = _filled(np.array([(-4, y - 4), (26, y - 4), (26, y - 4 + thick), (-4, y - 4 + thick)]), 0.4)
    rims = np.maximum(rims, np.maximum(bridge, np.maximum(arms, arms[:, ::-1])))
    frame = _colour(rng)
    tint = np.full(3, rng.choice([20.0, 230.0]), np.float32)
    opacity = np.maximum(rims * np.float32(rng.uniform(0.6, 1)), lenses * np.float32(rng.uniform(0, 0.25)))
    if rng.random() < 0.3:
        glare = _filled(_round((float(rng.choice([36, 72])), y), (float(rng.uniform(2, 10)), float(rng.uniform(2, 7))), 30), 1.2)
        opacity, tint = np.maximum(opacity, glare * np.float32(0.8)), np.full(3, 240, np.float32)
    return Layer(np.asarray(np.where(rims[:, :, None] > 0.3, frame, tint), np.float32), np.asarray(opacity, np.float32))


def high_cap(rng: np.random.Generator, other: Picture) -> Layer:
    """A cap, a cloth or hair above the brow."""
    low, ragged = rng.uniform(10, 38), rng.uniform(0, 5)
    x = np.linspace(-4, 116, 20)
    line = low + ragged * rng.standard_normal(20) + rng.uniform(-0.004, 0.004) * (x - 56) ** 2
    points = np.concatenate([np.stack([x, np.minimum(line, 41)], 1), [(116, -4), (-4, -4)]])
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), _filled(points, _edge(rng)))


def beside(rng: np.random.Generator, other: Picture) -> Layer:
    """Long hair, a collar, another head: around the face and not before it."""
    ring = 1 - _filled(_round((56, 64), (float(rng.uniform(38, 46)), float(rng.uniform(50, 60))), 0, 2.4), _edge(rng))
    x = np.mgrid[:SIDE_PX, :SIDE_PX][1]
    if (part := rng.random()) < 0.6:
        ring = ring * ((x < 56) if part < 0.3 else (x > 56))
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), np.asarray(ring, np.float32))


def shadow(rng: np.random.Generator, other: Picture) -> Layer:
    """A shadow with an edge, over any part of the face."""
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(20, 92, 2)
    along, out = np.array([np.cos(angle), np.sin(angle)]) * 200, np.array([-np.sin(angle), np.cos(angle)]) * 200
    plane = _filled(np.array([at - along, at + along, at + along + out, at - along + out]), float(rng.uniform(1, 8)))
    return Layer(np.zeros((SIDE_PX, SIDE_PX, 3), np.float32), plane * np.float32(rng.uniform(0.1, 0.6)))


def small_thing(rng: np.random.Generator, other: Picture) -> Layer:
    """A plaster, a microphone, a strand of hair."""
    at, axes = rng.uniform(20, 92, 2), rng.uniform(1.5, 7, 2) * (1 if rng.random() < 0.7 else np.array([3.0, 0.4]))
    shape = _round((float(at[0]), float(at[1])), (float(axes[0]), float(axes[1])), float(rng.uniform(0, 180)))
    return Layer(_textured(_shaded(_colour(rng), rng), rng, other), _filled(shape, _edge(rng)))


def deep_eyes(rng: np.random.Generator, other: Picture) -> Layer:
    """Eyes in the shadow of the brow, under a lamp."""
    plane = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for x in (38, 74):
        at = x + float(rng.normal(0, 2)), float(rng.uniform(46, 54))
        plane = np.maximum(plane, _filled(_round(at, (float(rng.uniform(9, 18)), float(rng.uniform(5, 11))), 0), float(rng.uniform(2, 5))))
    paint = np.broadcast_to(_skin(rng) * np.float32(rng.uniform(0, 0.5)), (SIDE_PX, SIDE_PX, 3))
    return Layer(np.asarray(paint, np.float32), plane * np.float32(rng.uniform(0.15, 0.55)))


HARMLESS: Mapping[str, Kind] = {kind.__name__: kind for kind in (spectacles, high_cap, beside, shadow, deep_eyes, small_thing)}
