"""Secrets that the configuration names by file, so that it holds none itself."""

import stat
from pathlib import Path

from daemon.config.errors import ConfigError


def read_secret(path: str, key: str) -> str:
    """The first line of a secret file named by the configuration key `key`. Raises ConfigError."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key}: {path} cannot be read ({error})", "give a text file that the daemon's user can read; its first line is the secret"
        ) from None
    if not lines or not lines[0]:
        raise ConfigError(f"{key}: {path} is empty", "write the secret into its first line")
    return lines[0]


def open_to_all(path: str) -> bool:
    """Whether everybody on this machine may read or change this file. False where there is none."""
    try:
        return bool(Path(path).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def need_private(path: str, key: str) -> None:
    """Raises ConfigError for a private key, named by the configuration key `key`, that everybody may read."""
    if open_to_all(path):
        raise ConfigError(
            f"{key}: everybody on this machine may read {path}",
            f"`chmod 640 {path}` and give it to the user's group, and make a new key if somebody may have read this one",
        )
