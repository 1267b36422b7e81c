"""Text on consoles that have not every letter: a nearby sign in place of each one that is missing, and never an error."""

import codecs
import json
import unicodedata
from typing import IO

NEARBY = {
    "✓": "+", "✗": "x", "✕": "x", "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "→": "->", "↻": "again:", "≥": ">=", "≤": "<=",
    "≈": "~",
}  # fmt: skip
_PLAIN, _ESCAPED = "ostiary.plain", "ostiary.json"


def plain(text: str, encoding: str) -> str:
    """What stands for `text` where it cannot be encoded: signs that look alike, letters without their accents, else a question mark."""
    return "".join(_nearby(letter, encoding) for letter in text)


def _nearby(letter: str, encoding: str) -> str:
    if letter in NEARBY:
        return NEARBY[letter]
    bare = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return bare if bare and bare != letter and bare.encode(encoding, "ignore").decode(encoding) == bare else "?"


def show_anywhere(*streams: IO[str], escaped: bool = False) -> None:
    """From now on these streams write `plain` text for what their encoding lacks; if `escaped`, the escapes of JSON, which lose nothing.
    Streams that cannot be changed stay as they are."""
    codecs.register_error(_PLAIN, _replaced)
    codecs.register_error(_ESCAPED, _as_json)
    for stream in streams:
        change = getattr(stream, "reconfigure", None)
        if change is not None:
            change(errors=_ESCAPED if escaped else _PLAIN)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end], error.encoding), error.end


def _as_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
