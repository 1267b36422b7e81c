"""`ostiaryd flight`: the flight recorder's lines, read."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from daemon.cli.recordings import above_zero
from daemon.config import Config, ConfigError, load
from daemon.core.messages import utc
from daemon.core.tapes.frames import Lost, note_of
from daemon.core.tapes.tape import TapeError
from daemon.edges.recorder import Tape, tapes_in
from daemon.pipeline import opening
from daemon.serving.recorders import FLIGHT


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    flight = commands.add_parser(
        "flight",
        help="what the gates saw in the last minutes",
        description="Print what the gates saw in the last minutes, frame by frame and without pictures: one JSON line each, oldest first."
        " Who is enrolled is named; who was revoked meanwhile is not any more.",
    )
    flight.add_argument("--config", type=Path, required=True, metavar="FILE")
    flight.add_argument("--gate", metavar="NAME", help="one gate's lines")
    flight.add_argument("--minutes", type=above_zero, default=None, metavar="N", help="the last N minutes; all that is kept without it")
    flight.set_defaults(command=_flight)


def _flight(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    if arguments.gate is not None and arguments.gate not in config.gates:
        raise ConfigError(f"--gate: no gate {arguments.gate!r} in {arguments.config}", f"its gates are {', '.join(config.gates)}")
    since = "" if arguments.minutes is None else utc(time.time() - 60 * arguments.minutes)
    for line in lines(config, arguments.gate, since):
        sys.stdout.write(line + "\n")
    return 0


def lines(config: Config, gate: str | None = None, since: str = "") -> list[str]:
    """What the flight recorder of a configuration keeps from `since` (RFC 3339) on, oldest first. Raises StoreError, VaultError."""
    store = opening.open_gallery(config, read_only=True)
    try:
        key = store.purpose_key(FLIGHT)
        people = {store.pseudonym(person.person): person.person for person in store.people()}
    finally:
        store.close()
    found: list[tuple[str, str]] = []
    for path in tapes_in(Path(config.state_dir) / FLIGHT):
        if gate in (None, path.parent.name):
            found += [(at, text) for at, text in _of(path, key, people) if at >= since]
    return [text for _, text in sorted(found, key=lambda pair: pair[0])]


def _of(path: Path, key: bytes, people: dict[str | None, str]) -> Iterator[tuple[str, str]]:
    """Time and text of every line on a tape. A part that is not what was written is a line that says so, and the tape's last."""
    at, gate = "", path.parent.name

    def said(body: dict[str, object]) -> tuple[str, str]:
        return at, json.dumps({"gate": gate, **body}, ensure_ascii=False)

    try:
        tape = Tape(path, key)
        try:
            for chunk in tape.chunks():
                note = note_of(chunk)
                if isinstance(note, Lost):
                    yield said({"at": at, "lost": note.count})
                elif note is None:
                    body = json.loads(chunk[1:])
                    at = body["at"]
                    yield said(_named(body, people))
        finally:
            tape.close()
    except TapeError as error:
        yield said({"at": at, "unreadable": error.message})


def _named(body: dict[str, object], people: dict[str | None, str]) -> dict[str, object]:
    """People who are enrolled, by their ids in place of their pseudonyms."""
    if isinstance(body.get("person"), str):
        body["person"] = people.get(str(body["person"]), body["person"])
    faces = body.get("faces")
    for face in faces if isinstance(faces, list) else ():
        _named(face, people)
    return body
