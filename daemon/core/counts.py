"""Numbers with their nouns, for people to read."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """The number with its noun: 1 frame, 2 frames, 1,000 frames; `many` where the plural has no s: 1 person, 2 people."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def persons(count: int, kind: str = "") -> str:
    """1 person, 2 people; of a kind: 1 other person, 2 val people."""
    before = f"{kind} " if kind else ""
    return counted(count, f"{before}person", f"{before}people")
