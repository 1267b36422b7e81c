"""A decoded video frame as a picture: BGR, whole, upright, with square pixels and the right colours."""

import threading
from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData, Type
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from daemon.core.values import Image

SOUND_SPACES = frozenset({0, 1, 4, 5, 6, 7, 9})
"""What a frame may say about its colours: RGB, BT.709, FCC, BT.601 (625 and 525 lines), SMPTE 240M, BT.2020 (FFmpeg's numbers)."""
SOUND_RANGES = frozenset({0, 1, 2})
HD = 1280, 720
"""A frame of this size that does not say how its colours are coded has those of BT.709; a smaller one those of BT.601."""
STRETCH = 3
"""Pixels more unequal than this are a damaged header, not a picture."""
COMBED = 10
"""How far (of 255) a line stands out from the lines above and below it before the two fields show different moments there."""
AROUND = np.ones((5, 9), np.uint8)

_own = threading.local()


def picture(frame: av.VideoFrame, pixel_aspect: Fraction | None = None) -> Image | None:
    """What the frame shows: BGR uint8 [H, W, 3], contiguous. None for a frame that the decoder calls corrupt or that cannot be converted.

    `pixel_aspect` is the width of a pixel over its height, from `pixel_aspect`; the shorter side of such a picture is stretched, so that
    faces keep their shape. The frame's display matrix is applied. The lines of an interlaced frame that show another moment than their
    neighbours are replaced.
    """
    if frame.is_corrupt or min(frame.width, frame.height) < 1:
        return None
    try:
        image = _deinterlaced(frame) if frame.interlaced_frame else None
        if image is None:
            image = _converted(frame, frame.width, frame.height)
    except (av.FFmpegError, ValueError):
        return None
    return _upright(_square(image, pixel_aspect), frame)


def careful(stream: av.VideoStream) -> None:
    """Have the decoder of a stream refuse damaged pictures: a JPEG that breaks off is else shown with nothing in its rest.
    To be called before it decodes."""
    if stream.codec_context.name == "mjpeg":
        stream.codec_context.options = {"err_detect": "explode"}


class Pictures:
    """The pictures of one stream, in the order in which they are shown.

    After damage a decoder goes on with pictures that it builds from missing or wrong ones, and says nothing of it. So everything is refused
    from damaged data up to the next picture that is coded whole; so is what comes before the first such picture.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream, self._doubt = stream, True
        self._damaged_at: int | None = None
        careful(stream)
        # Damage then looks the same each time, and no picture waits for those after it.
        stream.codec_context.thread_count = 1

    def of(self, packet: "av.Packet[av.VideoStream]") -> list[tuple[av.VideoFrame | None, Image | None]]:
        """What one packet gives: frames and what they show. None instead of a picture that is refused, and instead of a frame where the
        packet gives none because it is damaged."""
        if packet.is_corrupt:
            self._doubt, self._damaged_at = True, packet.pts
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            self._doubt = True
            return [(None, None)]
        aspect = pixel_aspect(self._stream)
        return [(frame, self._shown(frame, aspect)) for frame in frames]

    def _shown(self, frame: av.VideoFrame, aspect: Fraction | None) -> Image | None:
        damaged = frame.is_corrupt
        if self._damaged_at is not None and frame.pts == self._damaged_at:
            damaged, self._damaged_at = True, None
        self._doubt = damaged or (self._doubt and not frame.key_frame)
        return None if self._doubt else picture(frame, aspect)


def pixel_aspect(stream: av.VideoStream) -> Fraction | None:
    """The width of a pixel over its height, as container or codec say it; None where neither does."""
    said = stream.sample_aspect_ratio
    return said if said else stream.codec_context.sample_aspect_ratio


# ---- colours


def _converted(frame: av.VideoFrame, width: int, height: int) -> Image:
    """The frame's samples as BGR. `width` and `height` are those of the whole picture, of which `frame` may be one field."""
    grey_or_rgb = frame.format.is_rgb or len(frame.format.components) < 3
    space = None
    if not grey_or_rgb and (frame.colorspace not in SOUND_SPACES or frame.colorspace == 0):
        space = Colorspace.ITU709 if width >= HD[0] or height >= HD[1] else Colorspace.ITU601
    shades = None if frame.color_range in SOUND_RANGES else ColorRange.MPEG
    bgr = _reformatter().reformat(
        frame, format="bgr24", src_colorspace=space, src_color_range=shades, interpolation=Interpolation.BILINEAR, threads=1
    )
    rows = _rows(bgr.planes[0])
    return np.ascontiguousarray(rows[:, : 3 * bgr.width]).reshape(bgr.height, bgr.width, 3)


def _rows(plane: VideoPlane) -> npt.NDArray[np.uint8]:
    """The bytes of a plane with its padding, one line a row; changes to them change the frame."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)


def _reformatter() -> VideoReformatter:
    """One for each thread: it keeps its tables from frame to frame."""
    found = getattr(_own, "reformatter", None)
    if not isinstance(found, VideoReformatter):
        found = _own.reformatter = VideoReformatter()
    return found


# ---- two fields


def _deinterlaced(frame: av.VideoFrame) -> Image | None:
    """Both fields where the scene stands still, the first field alone where it moves; None for a frame that has no two fields."""
    fields = _field(frame, 0), _field(frame, 1)
    if fields[0] is None or fields[1] is None:
        return None
    even, odd = (_converted(field, frame.width, frame.height) for field in fields if field is not None)
    above, below = even[: len(odd)], np.concatenate([even[1:], even[-1:]])[: len(odd)]
    between = cv2.addWeighted(above, 0.5, below, 0.5, 0)
    sticks_out = cv2.max(cv2.subtract(cv2.min(above, below), odd), cv2.subtract(odd, cv2.max(above, below)))
    combed = np.asarray(cv2.cvtColor(sticks_out, cv2.COLOR_BGR2GRAY) > COMBED, np.uint8)
    whole = np.empty((frame.height, frame.width, 3), np.uint8)
    whole[0::2] = even
    whole[1::2] = cv2.copyTo(between, cv2.dilate(combed, AROUND), odd)
    return whole


def _field(frame: av.VideoFrame, first: int) -> av.VideoFrame | None:
    """Every second line of the frame, chroma too, as a frame of its own."""
    field = av.VideoFrame(frame.width, (frame.height + 1 - first) // 2, frame.format.name)
    field.colorspace, field.color_range = frame.colorspace, frame.color_range
    for whole, half in zip(frame.planes, field.planes, strict=True):
        if whole.line_size <= 0 or half.height * 2 < whole.height + first - 1 or whole.height < 2:
            return None
        lines, into = _rows(whole)[first::2], _rows(half)
        length = min(whole.line_size, half.line_size)
        into[: len(lines), :length] = lines[: half.height, :length]
        into[len(lines) :, :length] = lines[-1, :length]
    return field


# ---- shape


def _square(image: Image, aspect: Fraction | None) -> Image:
    if not aspect or aspect == 1 or not Fraction(1, STRETCH) <= aspect <= STRETCH:
        return image
    height, width = image.shape[:2]
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _upright(image: Image, frame: av.VideoFrame) -> Image:
    """The picture as the frame's display matrix says: turned by quarters, perhaps mirrored."""
    try:
        found = cast(Mapping[Type, SideData], frame.side_data).get(Type.DISPLAYMATRIX)
    except ValueError:  # beside it is a kind of side data that the binding does not know
        found = None
    if found is not None:
        # Where the picture's x axis and y axis point, in 16.16 fixed point. An axis goes where its larger part points.
        (a, b), (c, d) = np.frombuffer(memoryview(found), np.int32).reshape(3, 3)[:2, :2].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            image, a, d = image.transpose(1, 0, 2), c, b
        image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    elif frame.rotation:
        image = np.rot90(image, round(frame.rotation / 90))
    return np.ascontiguousarray(image)
