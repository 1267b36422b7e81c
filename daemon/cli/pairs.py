"""Options of the form NAME=VALUE."""

from daemon.config import ConfigError


def pairs(texts: list[str], option: str, form: str) -> list[tuple[str, str]]:
    """Options of the form NAME=VALUE, taken apart. Raises ConfigError."""
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name and value):
            raise ConfigError(
                f"{option} {text}: not of the form {form}",
                f"for instance {option} {form.replace('JPEG', 'photo.jpg').replace('SOURCE', 'clip.mkv').replace('VIDEO', 'clip.mkv')}",
            )
        found.append((name, value))
    return found
