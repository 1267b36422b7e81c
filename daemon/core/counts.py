"""Numbers with their nouns, for people to read."""


def counted(count: int, word: str) -> str:
    """The number with its noun: 1 frame, 2 frames."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
