"""Recordings and the flight recorder: what a gate saw, sealed on the box and within limits. The gate never waits for them."""

from daemon.edges.recorder.catalogue import Listed, catalogue
from daemon.edges.recorder.frames import FrameSink, PlainSink, RecordedFrames, SealedSink, began
from daemon.edges.recorder.recorder import Recorder
from daemon.edges.recorder.shelf import SPARE_BYTES, Shelf, erase, tapes_in
from daemon.edges.recorder.tapes import Tape, looks_sealed

__all__ = [
    "SPARE_BYTES",
    "FrameSink",
    "Listed",
    "PlainSink",
    "RecordedFrames",
    "Recorder",
    "SealedSink",
    "Shelf",
    "Tape",
    "began",
    "catalogue",
    "erase",
    "looks_sealed",
    "tapes_in",
]
