"""File names as operating systems, network drives and phones give them."""

from collections.abc import Sequence

SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r"})
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"})
PICTURES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".hif", ".avif", ".jp2",
)  # fmt: skip
"""A file with such a name that is no picture is damaged, and not something else."""


def left_by_a_system(parts: Sequence[str]) -> bool:
    """Whether a path, as its parts, is what an operating system or a network drive leaves beside pictures, or inside of what it leaves:
    `._a.png`, `__MACOSX`, `.DS_Store`, `Thumbs.db`, and everything else that is hidden by a dot."""
    return any(part.startswith(".") or part.lower() in SYSTEM_FILES or part.lower() in SYSTEM_FOLDERS for part in parts)
