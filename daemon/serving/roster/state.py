"""Where the box is with the roster."""

from dataclasses import dataclass
from typing import Literal

from daemon.core.people.site_keys import Edition

At = Literal["complete", "no_key", "no_head", "stale", "incomplete"]


@dataclass(slots=True)
class State:
    """`edition` has the site's keys, if this box has any. `down` says why there is no connection, and `up_s` since when there is one (a
    clock that never steps). `newest` is the number of the newest head that was heard on it.

    `whole`: this box has once held the whole roster. Before that it writes nothing and keeps nothing: it may have forgotten what it wrote.
    `missed`: records have come that it had no key for. `wanted`: all records have to be read from the broker. `anew`: and what only this
    box has of others goes then. `reviewed` is the last row that was looked at again, after everything has come or at a start with retired
    boxes; None if that is over.
    """

    edition: Edition | None
    whole: bool
    down: str | None = "it is being opened"
    up_s: float | None = None
    newest: int = 0
    missed: bool = False
    wanted: bool = False
    anew: bool = False
    reviewed: int | None = None
