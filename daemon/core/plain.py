"""Text on consoles: nothing of it moves the cursor, and where a letter is missing a nearby sign stands for it, never an error."""

import codecs
import json
import unicodedata
from typing import IO

NEARBY = {
    "✓": "+", "✗": "x", "✕": "x", "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "→": "->", "↻": "again:", "≥": ">=", "≤": "<=",
    "≈": "~",
}  # fmt: skip
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Persian, Sinhala and other names, and signs made of several, are spelled with these."""
_PLAIN, _ESCAPED = "ostiary.plain", "ostiary.json"


def printable(text: str) -> str:
    """`text` without control characters: other people's text must not move the cursor, colour the screen or change its direction."""
    return "".join(c if c.isprintable() or c in JOINERS or unicodedata.category(c) == "Zs" else "\N{REPLACEMENT CHARACTER}" for c in text)


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
