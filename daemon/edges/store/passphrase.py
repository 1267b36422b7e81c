"""The passphrase of backups: where it is read from, and what is too little of one."""

import os
import stat
import unicodedata
from pathlib import Path

from daemon.edges.store.errors import BackupError

SHORTEST = 12
_FEWEST_DIFFERENT = 6


def read_passphrase(path: Path) -> str:
    """The first line of a file that nobody else may read, in Unicode's composed form: typed elsewhere, it is the same. Raises BackupError.

    A pipe will do: `--passphrase-file /dev/stdin`.
    """
    hint = "a file (or pipe) with the passphrase as its first line, mode 0600 or stricter"
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise BackupError(f"{path}: the passphrase has mode {mode:04o}, others may read it", hint)
            line = file.readline(1 << 16)
        text = unicodedata.normalize("NFC", line.rstrip(b"\r\n").decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"{path}: the passphrase cannot be read ({getattr(error, 'strerror', None) or 'it is no UTF-8'})", hint) from None
    need_strong(text)
    return text


def need_strong(passphrase: str) -> None:
    """Raises BackupError for a passphrase that is soon guessed: whoever finds the file may try for as long as they like."""
    if len(passphrase) < SHORTEST or len(set(passphrase)) < _FEWEST_DIFFERENT:
        raise BackupError(
            f"the passphrase is too weak: it needs {SHORTEST} characters or more, {_FEWEST_DIFFERENT} of them different",
            "six words drawn by dice, say, or `openssl rand -base64 24`",
        )
