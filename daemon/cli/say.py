"""How `ostiaryd` ends: its exit statuses, and its complaints of one line and a hint."""

import logging
import sys

from rich.console import Console

from daemon.config import ConfigError
from daemon.core.audit import AuditError, HeadError
from daemon.core.bundle import BundleError
from daemon.core.faces.visibility import VisibilityError
from daemon.core.tapes.tape import TapeError
from daemon.edges.camera import CameraError
from daemon.edges.detector import DetectorError
from daemon.edges.embedder import EmbedderError
from daemon.edges.files import FileError
from daemon.edges.film import FilmError
from daemon.edges.journal import install, is_journal, prefixed
from daemon.edges.liveness import LivenessError
from daemon.edges.sandbox import SandboxError
from daemon.edges.store import StoreError, VaultError
from daemon.edges.walks import WalksError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: the unit file tells systemd that a restart would not help

UNUSABLE = (
    ConfigError, BundleError, EmbedderError, DetectorError, VisibilityError, LivenessError, CameraError, TapeError,
    VaultError,
)  # fmt: skip
"""What no restart mends: exit 78."""
FAILED = (StoreError, FileError, AuditError, HeadError, FilmError, SandboxError, WalksError)
"""What this attempt did not manage: exit 1."""


def log_to_stderr() -> None:
    """What is logged goes to standard error, with systemd's priorities where that is the journal."""
    install()


def console(*, stderr: bool = False) -> Console:
    """Where a command speaks to people. At a screen lines break between words; other programs get each line whole."""
    made = Console(stderr=stderr, highlight=False, markup=False)
    made.soft_wrap = not made.is_terminal
    return made


def complain(message: str, hint: str, status: int) -> int:
    """Print a message and its hint on stderr; gives `status` back, to return it."""
    text = f"ostiaryd: {message}\n  hint: {hint}"
    if is_journal(sys.stderr):
        text = prefixed(text, logging.ERROR)
    console(stderr=True).print(text)
    return status
