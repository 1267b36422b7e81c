"""A decoded video frame as a picture: BGR, upright, with square pixels."""

import av
import numpy as np

from daemon.core.values import Image


def picture(frame: av.VideoFrame) -> Image:
    """uint8 [H, W, 3] BGR."""
    return np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
