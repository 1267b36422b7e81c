"""How `ostiaryd` ends: its exit statuses, and its complaints of one line and a hint."""

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
from daemon.edges.liveness import LivenessError
from daemon.edges.metrics import MetricsError
from daemon.edges.sandbox import SandboxError
from daemon.edges.store import StoreError, VaultError
from daemon.edges.walks import WalksError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: the unit file tells systemd that a restart would not help

UNUSABLE = (
    ConfigError, BundleError, EmbedderError, DetectorError, VisibilityError, LivenessError, CameraError, MetricsError, TapeError,
    VaultError,
)  # fmt: skip
"""What no restart mends: exit 78."""
FAILED = (StoreError, FileError, AuditError, HeadError, FilmError, SandboxError, WalksError)
"""What this attempt did not manage: exit 1."""


def complain(message: str, hint: str, status: int) -> int:
    """Print a message and its hint on stderr; gives `status` back, to return it."""
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"ostiaryd: {message}\n  hint: {hint}")
    return status
