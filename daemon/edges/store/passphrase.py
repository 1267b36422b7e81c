"""The passphrase of backups: reading it, and how strong it must be."""

import os
import stat
import unicodedata
from pathlib import Path

from daemon.edges.store.errors import BackupError

SHORTEST = 12
_FEWEST_DIFFERENT = 6


def read_passphrase(path: Path) -> str:
    """The first line of a file that nobody else may read, in Unicode's composed form, so that it is the same wherever it was typed.

    A pipe can be used too: `--passphrase-file /dev/stdin`. Raises BackupError.
    """
    hint = "give a file (or pipe) with the passphrase in its first line, mode 0600 or stricter"
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise BackupError(f"{path}: the passphrase has mode {mode:04o}, others may read it", hint)
            line = file.readline(1 << 16)
        text = unicodedata.normalize("NFC", line.rstrip(b"\r\n").decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise BackupError(f"{path}: the passphrase cannot be read ({reason})", hint) from None
    need_strong(text)
    return text


def need_strong(passphrase: str) -> None:
    """Raises BackupError for a passphrase that is easily guessed: whoever finds the file may try for as long as they like."""
    if len(passphrase) < SHORTEST or len(set(passphrase)) < _FEWEST_DIFFERENT:
        raise BackupError(
            f"the passphrase is too weak: it needs {SHORTEST} characters or more, {_FEWEST_DIFFERENT} of them different",
            "use six words drawn by dice, for example, or `openssl rand -base64 24`",
        )
