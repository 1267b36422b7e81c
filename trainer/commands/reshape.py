"""Constant shapes for a file that an older trainer wrote: a bundle, an aligner or a model of visibility."""

from __future__ import annotations

import argparse

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from daemon.edges.files import replace
from trainer import terminal
from trainer.bundle import constant_shapes
from trainer.bundle.constant_shapes import ShapeError


def run(options: argparse.Namespace) -> None:
    """`reshape`."""
    try:
        model = onnx.load(options.file)
    except DecodeError as error:
        raise ShapeError(f"{options.file} is not an ONNX file", "give a file that ostiary-train wrote") from error
    except OSError as error:  # elsewhere an OSError means that something cannot be written
        raise ShapeError(f"{options.file} cannot be read: {error.strerror}", "give a file that ostiary-train wrote") from error
    old = model.SerializeToString()
    constant_shapes.make_constant(model)
    onnx.checker.check_model(model, full_check=True)
    new = model.SerializeToString()
    differ = constant_shapes.difference(old, new)
    if differ:
        raise ShapeError(f"the answers of the new graph differ by {differ:.1e}", "report the file; nothing was written")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace(options.out, new)
    terminal.say(f"{options.out}: constant shapes, the same answers to the last bit")
