"""One command about one person, from the first attempt to its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID, uuid5

from daemon.client.times import times
from daemon.core import messages as m
from daemon.ctl.bulk.outcomes import LeftOut
from daemon.ctl.bulk.rows import Row, Value

Op = Literal["enroll", "update", "revoke"]


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for all enrolments of a run."""

    force: bool = False
    replace: bool = False
    dry_run: bool = False

    @property
    def salt(self) -> str:
        return f"force={self.force} replace={self.replace}"


@dataclass(slots=True)
class Ask:
    """`gate` is None for all gates of the site. `jpegs` are all pictures, by their number in `files`; those in `refused` are left out."""

    op: Op
    row: Row
    gate: str | None
    key: str
    attempt: int = 0
    files: tuple[str, ...] = ()
    jpegs: tuple[bytes, ...] = ()
    fields: Mapping[str, Value] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    """Pictures that are not among `files`."""
    refused: dict[int, LeftOut] = field(default_factory=dict)
    """Pictures that cannot be read, and those that the gate refused."""
    heard: set[str] = field(default_factory=set)
    """The gates whose answer to this has been dealt with."""

    def kept(self) -> list[int]:
        return [number for number in range(len(self.jpegs)) if number not in self.refused]

    def command(self, namespace: UUID, options: Options) -> m.Command:
        """The command. Its id is the same whenever the same is asked in the same attempt; it is valid from now on."""
        ident = uuid5(namespace, f"{self.op} {self.key} {self.attempt} {self.kept()}")
        given = {**times(), "command_id": ident}
        person = self.row.person
        if self.op == "revoke":
            return m.Revoke(**given, person=person)
        if self.op == "update":
            return m.Update(**given, person=person, **self.fields)  # type: ignore[arg-type]
        return m.Enroll(
            **given,
            person=person,
            images=[self.jpegs[number] for number in self.kept()],
            force=options.force,
            replace=options.replace,
            dry_run=options.dry_run,
            **{name: value for name, value in self.fields.items() if value is not None},  # type: ignore[arg-type]
        )
