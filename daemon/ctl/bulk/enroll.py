"""enroll --csv and --folder: many people, one after the other, and on where it was interrupted."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

from rich.console import Console
from rich.text import Text

from daemon.client.failures import INTERRUPTED, USAGE, ClientError
from daemon.client.link import Link
from daemon.core.counts import persons
from daemon.ctl.bulk.asks import Ask, Options
from daemon.ctl.bulk.csv_rows import read_csv
from daemon.ctl.bulk.folder_rows import read_folder
from daemon.ctl.bulk.journal import Journal, Noted, beside
from daemon.ctl.bulk.opening import connected
from daemon.ctl.bulk.outcomes import NO_PICTURE, UNREADABLE, LeftOut, Outcome
from daemon.ctl.bulk.prepared import Prepared, prepared
from daemon.ctl.bulk.report import exit_code, said, show_refusals, summary, write_report
from daemon.ctl.bulk.rows import Row, need_no_errors
from daemon.ctl.bulk.sending import Sending
from daemon.ctl.bulk.showing import Show
from daemon.ctl.text import safe, to_json

_FOR_ALL = ("valid_from", "valid_until", "schedule", "consent")


def enroll_many(args: argparse.Namespace, out: Console) -> int:
    """enroll with --csv or --folder."""
    source: Path = args.csv if args.csv is not None else args.folder
    rows = [_completed(row, args) for row in (read_csv(source) if args.csv is not None else read_folder(source))]
    _need_pictures(source, rows)
    check_report(args.report, source)
    options = Options(args.force, args.replace, args.dry_run)
    path = args.journal or beside(source)
    with nullcontext() if args.dry_run else Journal(path) as journal, connected(args) as (link, gate):
        run = Run(link, gate, options, journal, args.wait)
        with Show(out, len(rows), "asked" if args.dry_run else "enrolled", for_machines=hasattr(args, "json")) as show:
            failure = run.enroll(rows, show)
            absent = sorted(name for name, seen in link.statuses().items() if not seen.online)
            if gate is None and absent and failure is None:
                show.say(f"gate {', '.join(absent)} is offline and was not asked; run the same command again when it is back")
        return concluded(args, out, show, failure, path)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run asks, and where it notes the answers. Without a `journal` nothing is noted."""

    link: Link
    gate: str | None
    options: Options
    journal: Journal | None
    wait_s: float

    def enroll(self, rows: Sequence[Row], show: Show, gates: dict[str, list[str]] | None = None) -> BaseException | None:
        """Enrol them. What ends it before its end is returned: a ClientError, or KeyboardInterrupt.

        `gates` has those who are to be enrolled at some gates only, whatever the journal says of them; None is everybody, where they are
        not yet."""
        salt = f"{self.link.target.site} {self.options.salt}"
        with closing(prepared(rows, salt, lambda key: gates is None and not self._missing(key))) as people:
            asks = (ask for one in people for ask in self._asks(one, show, gates))
            failure = self.send(asks, show, self.journal.namespace if self.journal is not None else uuid4())
        if self.journal is not None and failure is None:
            self.journal.finish()
        return failure

    def send(self, asks: Iterator[Ask], show: Show, namespace: UUID) -> BaseException | None:
        """Send these; returns what ended it before its end."""

        def told(ask: Ask, outcome: Outcome) -> None:
            if ask.op == "enroll":
                self._note(ask, outcome)
            show.told(outcome)

        try:
            sending = Sending(
                self.link, self.gate, namespace, self.options, self.wait_s, told, lambda ask: show.over(ask.row.person), show.say
            )
            sending.run(asks)
        except (ClientError, KeyboardInterrupt) as error:
            return error
        return None

    def _asks(self, one: Prepared, show: Show, gates: dict[str, list[str]] | None) -> Iterator[Ask]:
        """What is still to be asked about somebody. What is known already is shown."""
        row, answers = one.row, self._answers(one.key)
        attempt = self._attempts(one.key)
        if gates is None:
            show.all_told([_outcome(one, noted) for gate, noted in answers.items() if one.known or gate not in attempt])
        if one.known:
            show.over(row.person, earlier=True)
            return
        if not any(one.jpegs):
            first = next(iter((*one.refused.values(), *one.left_out)), LeftOut("", NO_PICTURE, "the person has no picture"))
            left_out = (*one.left_out, *one.refused.values())
            show.told(Outcome(row.where, row.person, "enroll", "", "refused", first.reason, first.detail, left_out))
            show.over(row.person)
            return
        missing: Sequence[str | None] = self._missing(one.key)
        if gates is not None:
            attempt |= {gate: answers[gate].attempt + 1 for gate in gates[row.person] if gate in answers}
            missing = (self.gate,) if self._known() <= set(gates[row.person]) and not attempt else gates[row.person]
        for gate in missing:
            yield Ask(
                "enroll", row, gate, one.key, attempt.get(gate or "", 0), one.files, one.jpegs, row.fields, one.left_out, dict(one.refused)
            )

    def _answers(self, key: str) -> dict[str, Noted]:
        """The last words of gates about this command, in this run and earlier ones."""
        return dict(self.journal.answers.get(key, {})) if self.journal is not None else {}

    def _attempts(self, key: str) -> dict[str, int]:
        """The gates that are asked anew, because they refused in a run that came to its end, with the number of the attempt."""
        if self.journal is None or key not in self.journal.over:
            return {}
        return {gate: noted.attempt + 1 for gate, noted in self._answers(key).items() if noted.status != "done"}

    def _missing(self, key: str) -> list[str | None]:
        """The gates that are still to be asked; None is all of them together."""
        answers = self._answers(key)
        return [*sorted({*self._attempts(key), *(self._known() - answers.keys())})] if answers else [self.gate]

    def _known(self) -> set[str]:
        """The gates that should answer."""
        return {name for name, seen in self.link.statuses().items() if seen.online} if self.gate is None else {self.gate}

    def _note(self, ask: Ask, outcome: Outcome) -> None:
        if self.journal is None or not outcome.gate or outcome.status == "unanswered":
            return
        # What cannot be read is told with the name of its file, which has no place in the journal.
        refused = tuple((place, one.reason, "" if one.reason == UNREADABLE else one.detail) for place, one in sorted(ask.refused.items()))
        status, reason, detail = outcome.status, outcome.reason, outcome.detail
        self.journal.note(Noted(ask.key, ask.row.person, outcome.gate, ask.attempt, status, reason, detail, refused))


def concluded(args: argparse.Namespace, out: Console, show: Show, failure: BaseException | None, path: Path | None) -> int:
    """Say what came of a run; returns the exit code. Raises the ClientError that ended it."""
    interrupted = isinstance(failure, KeyboardInterrupt)
    if args.report is not None:
        write_report(args.report, show.outcomes)
    if hasattr(args, "json"):
        out.print(Text(to_json(summary(show.outcomes, show.took_s, show.earlier, interrupted=interrupted))))
    else:
        show_refusals(out, show.outcomes)
        if show.outcomes:
            out.print(said(show.outcomes, show.took_s, show.earlier))
        if failure is not None and path is not None:
            how = "interrupted" if interrupted else "ended early"
            out.print(safe(f"{how} with {persons(show.left)} to go: run the same command again to go on ({path})", "yellow"))
        elif show.earlier and not args.dry_run and path is not None:
            out.print(safe(f"who was enrolled earlier was left as they are; remove {path} to send everybody again", "dim"))
        if args.dry_run:
            out.print(safe("nothing was changed: the gate has only judged the pictures", "dim"))
    if isinstance(failure, ClientError):
        raise failure
    return INTERRUPTED if interrupted else exit_code(show.outcomes)


def check_report(report: Path | None, source: Path) -> None:
    """Raises ClientError if the report would be written over what is read."""
    if report is not None and report.resolve() == source.resolve():
        raise ClientError(USAGE, f"{report} is the file that is read", "give --report another file")


def _completed(row: Row, args: argparse.Namespace) -> Row:
    """With what the options say of everybody whose row says nothing."""
    given = {name: getattr(args, name) for name in _FOR_ALL if getattr(args, name) is not None}
    given |= {"gates": args.gate_allowed} if args.gate_allowed else {}
    return replace(row, fields={**given, **{name: value for name, value in row.fields.items() if value is not None}})


def _need_pictures(source: Path, rows: Sequence[Row]) -> None:
    if not rows:
        raise ClientError(USAGE, f"nobody is in {source}", "write a line for each person below the names of the columns")
    need_no_errors(source, [f"{row.where}: {row.person} has no pictures" for row in rows if not row.photos])
    paths = [path for row in rows for path in row.photos]
    if paths and not any(path.exists() for path in paths):
        raise ClientError(USAGE, f"none of the pictures is there, for instance {paths[0]}", f"paths begin at the folder of {source}")


def _outcome(one: Prepared, noted: Noted) -> Outcome:
    """What an earlier run was told."""
    refused = tuple(LeftOut(one.files[place], reason, detail) for place, reason, detail in noted.left_out if place < len(one.files))
    row, left_out = one.row, (*one.left_out, *refused)
    return Outcome(row.where, row.person, "enroll", noted.gate, noted.status, noted.reason, noted.detail, left_out, earlier=True)
