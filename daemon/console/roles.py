"""Who may do what at the console. Every role may do what the roles before it may."""

from enum import IntEnum
from typing import Literal, get_args

RoleName = Literal["viewer", "guard", "desk", "admin"]


class Role(IntEnum):
    """viewer: sees gates and decisions. guard: sees people and suspends. desk: enrols, changes, revokes, sees unknown visitors.
    admin: may also enrol against the gate's doubts (`force`) and replace a face (`replace`)."""

    VIEWER = 0
    GUARD = 1
    DESK = 2
    ADMIN = 3

    @property
    def word(self) -> RoleName:
        """The role as files and messages write it."""
        return WORDS[self]


WORDS: tuple[RoleName, ...] = get_args(RoleName)


def role(word: str) -> Role | None:
    """The role of this word, or None if there is none."""
    return Role(WORDS.index(word)) if word in WORDS else None


def role_of(word: RoleName) -> Role:
    """The role of a word that is one."""
    return Role(WORDS.index(word))
