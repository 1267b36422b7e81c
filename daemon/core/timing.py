"""The stages of the line whose time is measured."""

from typing import Literal

Stage = Literal["detect", "align", "embed", "search", "liveness", "decide", "command"]
