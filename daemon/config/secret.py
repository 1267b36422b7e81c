"""Secrets that the configuration names by file, so that it holds none itself."""

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
