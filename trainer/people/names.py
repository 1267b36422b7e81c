"""Names of people and files, as file systems, archives and phones write them."""

from __future__ import annotations

import hashlib
import os
import unicodedata

LONGEST = 180
"""A file name may have 255 bytes. The rest is for what is put behind it."""


def decoded(name: str) -> str:
    """A name of the file system as text: bytes that are no UTF-8 are read as letters of Windows in western Europe."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("cp1252", "replace")
    return name


def readable(name: str) -> str:
    """A name of the file system as people write it: é is one letter (a Mac writes two)."""
    return unicodedata.normalize("NFC", decoded(name))


def one_line(text: str) -> str:
    """A name for a line of text: what cannot be printed is written as its escape."""
    text = "".join(letter if letter == " " or unicodedata.category(letter) not in _UNPRINTABLE else _escape(letter) for letter in text)
    return text.encode("utf-8", "backslashreplace").decode()


def file_name(name: str) -> str:
    """A readable name that every file system takes: without slashes and control characters, and not too long. A name that had to be changed
    ends with a part of its hash, so that two names stay two."""
    changed = "".join(letter if unicodedata.category(letter) not in _UNPRINTABLE and letter not in '/\\:*?"<>|' else "_" for letter in name)
    changed = changed if changed.strip(". ") else "_"
    if changed == name and len(name.encode()) <= LONGEST:
        return name
    return f"{changed.encode()[:LONGEST].decode('utf-8', 'ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode() if unicodedata.category(letter) != "Cs" else letter
