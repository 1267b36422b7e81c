"""What a decoded frame shows: its colours, its shape, and one moment."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from daemon.core.values import Image
from daemon.edges.camera.decoded import picture, pixel_aspect
from tests.fixtures.videos import corners, four_corners, write_video

PATCHES = {"grey": (128, 128, 128), "skin": (110, 140, 200), "blue": (220, 60, 40), "dark": (20, 20, 20), "light": (235, 235, 235)}


def seen(path: Path) -> list[Image | None]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [picture(frame, pixel_aspect(stream)) for frame in container.decode(stream)]


def first(path: Path) -> Image:
    image = seen(path)[0]
    assert image is not None and image.dtype == np.uint8 and image.flags.c_contiguous
    return image


def patches(size: tuple[int, int] = (64, 96)) -> Image:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(PATCHES.values()):
        image[:, number * width // len(PATCHES) : (number + 1) * width // len(PATCHES)] = colour
    return image


def yuv_of(bgr: Image, kr: float, kb: float, full: bool) -> np.ndarray:
    """A planar 4:2:0 picture by the formula of the standards, uint8 [H * 3 / 2, W]."""
    blue, green, red = (bgr[..., channel].astype(np.float64) for channel in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    if full:
        y, cb, cr = luma, cb + 128, cr + 128
    else:
        y, cb, cr = 16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255
    planes = [np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in (y, cb[::2, ::2], cr[::2, ::2])]
    return np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, bgr.shape[1])


BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)


@pytest.mark.parametrize(
    ("space", "shades", "coefficients", "full", "size"),
    [
        (5, 1, BT601, False, (64, 96)),
        (6, 1, BT601, False, (64, 96)),
        (1, 1, BT709, False, (64, 96)),
        (1, 2, BT709, True, (64, 96)),
        (6, 2, BT601, True, (64, 96)),
        (9, 1, BT2020, False, (64, 96)),
        (2, 0, BT601, False, (480, 640)),
        (2, 0, BT709, False, (720, 1280)),
        (0, 0, BT601, False, (64, 96)),
        (3, 0, BT601, False, (64, 96)),
        (8, 0, BT709, False, (1080, 1920)),
        (200, 77, BT601, False, (64, 96)),
    ],
)
def test_colours_are_those_that_were_coded(
    space: int, shades: int, coefficients: tuple[float, float], full: bool, size: tuple[int, int]
) -> None:
    true = patches(size)
    frame = av.VideoFrame.from_ndarray(yuv_of(true, *coefficients, full), format="yuv420p")
    frame.colorspace, frame.color_range = space, shades
    shown = picture(frame)
    assert shown is not None
    for number, name in enumerate(PATCHES):
        x, y = (2 * number + 1) * size[1] // (2 * len(PATCHES)), size[0] // 2
        assert np.abs(shown[y, x].astype(int) - PATCHES[name]).max() <= 4, (name, shown[y, x])


@pytest.mark.parametrize(
    "kind", ["gray", "gray10le", "rgb24", "rgba", "bgra", "gbrp", "yuv444p", "yuv422p10le", "yuv420p10le", "nv12", "yuvj420p"]
)
def test_a_picture_comes_through_in_every_format(kind: str) -> None:
    true = patches()
    frame = av.VideoFrame.from_ndarray(true, format="bgr24").reformat(format=kind)
    shown = picture(frame)
    assert shown is not None and shown.shape == true.shape
    wanted = cv2.cvtColor(cv2.cvtColor(true, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if kind.startswith("gray") else true
    assert np.abs(shown[32, 9::19].astype(int) - wanted[32, 9::19]).max() <= 6


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    path = write_video(tmp_path / "still.gif", [patches()] * 2, "gif", pix_fmt="rgb8")
    assert np.abs(first(path)[32, 9::19].astype(int) - patches()[32, 9::19]).max() <= 64  # three, three and two bits


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (2, 3), (577, 719)])
def test_odd_sizes_are_kept(size: tuple[int, int]) -> None:
    true = np.full((*size, 3), (90, 140, 200), np.uint8)
    shown = picture(av.VideoFrame.from_ndarray(true, format="bgr24").reformat(format="yuv420p"))
    assert shown is not None and shown.shape == true.shape and shown.flags.c_contiguous
    assert np.abs(shown.astype(int) - true).max() <= 4


# ---- shape


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(16, 15), (576, 768)),
        (Fraction(4, 3), (576, 960)),
        (Fraction(3, 4), (768, 720)),
        (Fraction(1), (576, 720)),
        (Fraction(100), (576, 720)),
        (Fraction(1, 90), (576, 720)),
    ],
)
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "pal.mkv", [four_corners(576, 720)] * 2, pixel_aspect=aspect)
    shown = first(path)
    assert shown.shape[:2] == size and corners(shown) == "bgrw"


def test_pixels_become_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    path = write_video(tmp_path / "tall.mp4", [four_corners(96, 128)] * 2, pixel_aspect=Fraction(2), turned=(90, False, False))
    shown = first(path)
    assert shown.shape[:2] == (256, 96) and corners(shown) == "grwb"


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize(("mirrored", "upside_down"), [(False, False), (True, False), (False, True)])
def test_the_display_matrix_is_applied_as_ffmpeg_applies_it(tmp_path: Path, degrees: int, mirrored: bool, upside_down: bool) -> None:
    path = write_video(tmp_path / "turned.mp4", [four_corners()] * 2, turned=(degrees, mirrored, upside_down))
    shown = first(path)
    # `degrees` counts counterclockwise, and the picture is mirrored after it was turned.
    wanted = np.rot90(four_corners(), degrees // 90)
    wanted = wanted[:, ::-1] if mirrored else wanted
    wanted = wanted[::-1] if upside_down else wanted
    assert (shown.shape, corners(shown)) == (wanted.shape, corners(np.ascontiguousarray(wanted)))


# ---- two moments in one frame


def moving(at: float) -> Image:
    """A scene with fine steady detail on the left and a textured disc that moves on the right."""
    image = np.full((288, 384, 3), 96, np.uint8)
    image[40:248:4, 20:120] = 180
    image[41:248:4, 20:120] = 180
    centre = 200 + round(at), 144
    cv2.circle(image, centre, 60, (120, 150, 210), -1)
    cv2.circle(image, (centre[0] - 22, 130), 9, (30, 30, 40), -1)
    cv2.circle(image, (centre[0] + 22, 130), 9, (30, 30, 40), -1)
    cv2.ellipse(image, (centre[0], 172), (26, 8), 0, 0, 360, (60, 60, 150), -1)
    return image


def interlaced(first_moment: Image, second_moment: Image) -> Image:
    both = first_moment.copy()
    both[1::2] = second_moment[1::2]
    return both


def comb(image: Image) -> float:
    """How much every second line differs from its neighbours, in the part that moves."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[60:230, 130:380].astype(np.float64)
    return float(np.abs(2 * grey[1:-1] - grey[:-2] - grey[2:]).mean())


def interlaced_film(path: Path, codec: str, step: float) -> Path:
    pictures = [interlaced(moving(2 * step * number), moving(2 * step * number + step)) for number in range(6)]
    options = {"libx264": {"flags": "+ildct+ilme", "x264-params": "tff=1", "crf": "8"}, "mpeg2video": {"flags": "+ildct+ilme", "b": "9M"}}
    return write_video(path, pictures, codec, fps=25, options=options[codec])


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_what_moves_in_an_interlaced_film_is_not_combed(tmp_path: Path, codec: str) -> None:
    path = interlaced_film(tmp_path / "moving.ts", codec, 8)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert all(frame.interlaced_frame for frame in frames)
    for number, frame in enumerate(frames):
        shown = picture(frame)
        assert shown is not None
        woven, one_moment = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8), moving(16 * number)
        assert comb(woven) > 3 * comb(one_moment), "the test's film is interlaced"
        assert comb(shown) < 1.3 * comb(one_moment)
        assert np.abs(shown[60:230, 130:380].astype(int) - one_moment[60:230, 130:380]).mean() < 4


def test_what_stands_still_in_an_interlaced_film_keeps_its_lines(tmp_path: Path) -> None:
    path = interlaced_film(tmp_path / "still.ts", "libx264", 0)
    shown = first(path)
    # Half of the lines alone would show lines of 2 px as a grey area.
    assert shown[60:200, 40:100].astype(int).std() > 0.8 * moving(0)[60:200, 40:100].astype(int).std()


# ---- no picture


def test_a_frame_that_the_decoder_calls_corrupt_is_no_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    noise = [np.asarray(cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (320, 240)), np.uint8) for _ in range(8)]
    path = write_video(tmp_path / "damaged.ts", noise, options={"g": "8", "crf": "20"})
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) * 2 // 3, 2000):
        data[place : place + 200] = rng.bytes(200)
    path.write_bytes(bytes(data))
    with av.open(str(path)) as container:
        frames = []
        for packet in container.demux(video=0):
            try:
                frames += packet.decode()
            except av.FFmpegError:
                continue
    marked = [frame for frame in frames if frame.is_corrupt]
    assert marked and all(picture(frame) is None for frame in marked)
