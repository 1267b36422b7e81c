"""Pictures of people who walk up to a gate, made from two public-domain portraits that come with scikit-image and matplotlib.

The same walk and number give the same picture. Size, place, tilt, light, noise, sharpness and compression change along a walk as they do
in front of a real camera. The expression of the face does not, so these pictures say nothing about accuracy.
"""

from dataclasses import dataclass
from functools import cache
from math import pi, sin

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.boxes import Box
from daemon.core.values import Image

WIDTH, HEIGHT, FPS = 640, 480, 12
WALK_S = 3.0
FAR_PX, NEAR_PX = 34.0, 130.0
"""The side of the face at the far end of the corridor and at the gate."""
JPEG_QUALITY = 85

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A person cut out of a photo. `picture` is float32 [h, w, 3] BGR times `alpha`, float32 [h, w, 1]; `eyes` are their two (x, y)."""

    name: str
    picture: Floats
    alpha: Floats
    eyes: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Light:
    """How a scene is lit: overall, from one side (-1 left to 1 right), and how warm (-1 to 1)."""

    level: float = 1.0
    side: float = 0.0
    warmth: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A rendered picture, and the box of the face in it (None when nobody is there)."""

    image: Image
    face: Box | None


# Outline and eyes of each person, found by hand, in pixels of the original photo.
_COLLINS = (
    "(154,107) (151,64) (169,31) (200,16) (243,16) (279,31) (297,64) (301,100) (288,122) (279,131) (271,150) (293,164) (303,200) "
    "(297,229) (343,257) (360,307) (366,343) (393,343) (443,354) (486,393) (509,457) (511,511) (29,511) (20,357) (29,307) (50,264) "
    "(111,214) (117,179) (136,157) (179,150) (186,143) (169,131)"
)
_HOPPER = (
    "(150,143) (149,107) (154,93) (174,83) (186,57) (214,31) (250,24) (293,29) (329,43) (354,83) (369,94) (373,121) (370,150) "
    "(374,179) (369,229) (357,271) (340,307) (331,326) (357,343) (414,374) (471,393) (500,421) (511,471) (511,599) (14,599) "
    "(21,457) (43,400) (79,374) (143,350) (197,317) (203,307) (179,279) (161,236) (153,186)"
)
_EYES = {"collins": ((203.0, 103.0), (251.0, 103.0)), "hopper": ((226.0, 188.0), (305.0, 188.0))}


@cache
def portrait(name: str) -> Portrait:
    """`collins` (NASA's portrait of Eileen Collins) or `hopper` (the US Navy's of Grace Hopper). ImportError without the extra `demo`."""
    if name == "collins":
        from skimage import data

        photo, outline = data.astronaut()[:, :, ::-1], _COLLINS
    else:
        from matplotlib import cbook

        photo, outline = cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))), _HOPPER
    points = np.array([[int(v) for v in pair.strip("()").split(",")] for pair in outline.split()], np.int32)
    mask = np.zeros(photo.shape[:2], np.float32)
    cv2.fillPoly(mask, [points], 1.0)
    mask = np.asarray(cv2.erode(mask, np.ones((5, 5), np.uint8)), np.float32)
    # The photos end at the chest. The coat is continued below it, darker towards the floor, so that nobody floats.
    below = 2 * photo.shape[0]
    body = cv2.copyMakeBorder(np.asarray(photo, np.float32), 0, below, 0, 0, cv2.BORDER_REPLICATE)
    body[photo.shape[0] :] = cv2.blur(body[photo.shape[0] :], (81, 1))
    shade = np.concatenate([np.ones(photo.shape[0]), np.linspace(0.9, 0.25, below)]).astype(np.float32)[:, None, None]
    mask = np.asarray(cv2.copyMakeBorder(mask, 0, below, 0, 0, cv2.BORDER_REPLICATE), np.float32)
    alpha = np.asarray(cv2.GaussianBlur(mask, (0, 0), 2.0), np.float32)[:, :, None]
    return Portrait(name, np.asarray(body * shade * alpha, np.float32), alpha, _EYES[name])


@cache
def corridor() -> Floats:
    """What the camera sees when nobody comes, float32 [480, 640, 3] BGR."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    wall = np.stack([128 - 0.05 * y, 134 - 0.06 * y, 130 - 0.08 * y], axis=2) + 12 * np.cos((x - 320) / 260)[:, :, None]
    scene = np.ascontiguousarray(wall, np.float32)
    floor = np.array([[0, 479], [210, 330], [430, 330], [639, 479]], np.int32)
    cv2.fillPoly(scene, [floor], (92, 98, 104))
    cv2.fillPoly(scene, [np.array([[210, 330], [210, 110], [430, 110], [430, 330]], np.int32)], (150, 152, 148))
    cv2.rectangle(scene, (262, 140), (378, 330), (96, 86, 74), -1)
    cv2.rectangle(scene, (262, 140), (378, 330), (62, 58, 52), 3)
    for near, far in ((0, 210), (639, 430)):
        cv2.line(scene, (near, 479), (far, 330), (60, 60, 60), 2, cv2.LINE_AA)
        cv2.line(scene, (near, 20), (far, 110), (80, 80, 80), 2, cv2.LINE_AA)
    for left in (60, 560):
        cv2.rectangle(scene, (left - 26, 400), (left + 26, 479), (70, 74, 78), -1)
        cv2.rectangle(scene, (left - 26, 396), (left + 26, 404), (180, 176, 60), -1)
    return scene


def walking(name: str | None, number: int, seed: int, leaving: int | None = None) -> Shot:
    """Frame `number` (from 0, FPS a second) of a walk up to the gate, where the person then stands. `name` None: the empty corridor.

    `seed` makes one walk differ from another; with `leaving` the person has turned to the side that many frames ago.
    """
    noise = np.random.default_rng([seed, number])
    t = number / FPS
    flicker = 1 + 0.03 * sin(2 * pi * 1.3 * t + seed)
    if name is None:
        return _developed(corridor() * np.float32(flicker), None, Light(), noise)
    near = min(1.0, t / WALK_S) ** 1.6
    size = FAR_PX + (NEAR_PX - FAR_PX) * near
    away = 0.0 if leaving is None else 90.0 * leaving
    x = 320 + 30 * sin(2 * pi * 0.45 * t + seed) * (0.4 + 0.6 * near) + 14 * (seed % 3 - 1) + away
    step = sin(2 * pi * 1.8 * t) * (1 - near)
    y = 205 + 20 * near + 0.04 * size * step + 2 * sin(2 * pi * 0.3 * t)
    light = Light((0.62 + 0.4 * near) * flicker, 0.35 * sin(2 * pi * 0.2 * t + 1.7 * seed), 0.5 * (1 - near) - 0.1)
    who = _placed(portrait(name), size, (x, y), 3.5 * sin(2 * pi * 0.5 * t + seed))
    return _developed(corridor() * np.float32(flicker), who, light, noise)


def enrolment_photo(name: str) -> bytes:
    """The photo that a person is enrolled with, a JPEG file. Light, wall and size differ from those at the gate."""
    noise = np.random.default_rng(20)
    wall = np.full((HEIGHT, WIDTH, 3), (186, 178, 170), np.float32)
    shot = _developed(wall, _placed(portrait(name), 150, (322, 205), -1.5), Light(1.04, -0.25, 0.3), noise, grain=1.5)
    return jpeg(shot.image, 92)


def jpeg(image: Image, quality: int = JPEG_QUALITY) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


# ---- from portrait to picture


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A person where they stand in the picture, before the light falls on them."""

    picture: Floats
    alpha: Floats
    face: Box


def _placed(who: Portrait, size: float, eyes: tuple[float, float], degrees: float) -> _Placed:
    (left_x, left_y), (right_x, right_y) = who.eyes
    scale = size / (2.4 * (right_x - left_x))
    layers = np.concatenate([who.picture, who.alpha], axis=2)
    if scale < 0.5:  # warping alone would skip pixels
        layers = cv2.resize(layers, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        shrunk = 2 * scale
    else:
        shrunk = 1.0
    middle = (shrunk * (left_x + right_x) / 2, shrunk * (left_y + right_y) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, degrees, scale / shrunk), np.float64)
    matrix[0, 2] += eyes[0] - middle[0]
    matrix[1, 2] += eyes[1] - middle[1]
    warped = np.asarray(cv2.warpAffine(layers, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), np.float32)
    face = Box(eyes[0] - size / 2, eyes[1] - 0.32 * size, size, size)
    return _Placed(warped[:, :, :3], warped[:, :, 3:], face)


def _developed(scene: Floats, who: _Placed | None, light: Light, noise: np.random.Generator, grain: float = 3.5) -> Shot:
    """Light, lens and sensor."""
    if who is not None:
        across = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :, None]
        reach = np.clip((across * WIDTH / 2 + WIDTH / 2 - who.face.centre[0]) / (1.2 * who.face.width), -1, 1)
        colour = np.array([1 - 0.1 * light.warmth, 1, 1 + 0.1 * light.warmth], np.float32)
        lit = who.picture * (light.level * (1 + light.side * reach)) * colour
        scene = np.asarray(scene * (1 - who.alpha) + lit, np.float32)
    scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), 0.6), np.float32)
    scene = scene + noise.standard_normal((HEIGHT, WIDTH, 1), np.float32) * np.float32(grain)
    return Shot(np.asarray(np.clip(scene, 0, 255), np.uint8), None if who is None else who.face)
