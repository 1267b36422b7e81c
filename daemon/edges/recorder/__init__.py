"""Recordings and the flight recorder: what a gate saw, sealed on the box, within bounds, and never in the gate's way."""

from daemon.edges.recorder.catalogue import Listed, catalogue
from daemon.edges.recorder.frames import FrameSink, PlainSink, RecordedFrames, SealedSink, began
from daemon.edges.recorder.recorder import Recorder
from daemon.edges.recorder.shelf import SPARE_BYTES, Shelf, erase, tapes_in
from daemon.edges.recorder.tapes import SUFFIX, Tape, looks_sealed

__all__ = [
    "SPARE_BYTES",
    "SUFFIX",
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
