"""How ostiaryctl shows what it hears: lines and tables for people, JSON for machines. Pure but for the age of things."""

from datetime import UTC, datetime

import msgspec
from rich.table import Table
from rich.text import Text

from daemon.core.counts import counted
from daemon.core.messages import DecisionMessage, PersonEntry, Reembedding, Result, StatusMessage

STALE_S = 90.0
"""A gate says how it is every 30 s; after three silences its last word is no news any more."""

_MARKS = {"accept": ("✓", "bold green"), "reject": ("✗", "bold red"), "unknown": ("?", "bold yellow")}
_STATE_STYLES = {"serving": "green", "degraded": "yellow"}

WATCH_HEADING = Text("time          gate      answer     person        why                 age     ", "bold")


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")


def printable(text: str) -> str:
    """Other people's text must not move the cursor or colour the screen."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def safe(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def age_s(instant: str) -> float:
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds()
    except (ValueError, TypeError):
        return float("nan")


def _local(instant: str, form: str = "%Y-%m-%d %H:%M") -> str:
    try:
        return datetime.fromisoformat(instant).astimezone().strftime(form)
    except (ValueError, OverflowError):
        return instant


def _brief(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def is_stale(status: StatusMessage) -> bool:
    """Whether a gate that says it is online has been silent for too long."""
    return status.online and status.at is not None and age_s(status.at) > STALE_S


def is_well(status: StatusMessage) -> bool:
    return status.online and status.state != "closed" and not is_stale(status)


def result_line(op: str, person: str, gate: str, result: Result, took_ms: float) -> Text:
    mark, style = ("✓", "bold green") if result.status == "done" else ("✗", "bold red")
    what = " ".join(part for part in (op, person, result.status) if part)
    why = ": ".join(part for part in (result.reason, result.detail) if part)
    end = f"  (gallery revision {result.gallery_revision}, {took_ms:.0f} ms)"
    return Text.assemble((mark, style), " ", safe(gate, "cyan"), " ", safe(what), safe(f"  {why}" if why else ""), (end, "dim"))


def progress_line(gate: str, progress: Reembedding) -> Text:
    """How far a gate's change of model has come."""
    return Text.assemble(
        "… ", safe(gate, "cyan"), safe(f" {progress.done} of {progress.of} templates embedded with {progress.model}", "dim")
    )


def people_table(people: list[PersonEntry]) -> Table:
    table = _table("person", "name", "state", "templates", "enrolled", "valid", "gates", "schedule")
    for one in people:
        table.add_row(
            safe(one.person),
            safe(one.name or ""),
            _state(one),
            str(one.templates),
            safe(_local(one.enrolled_at)),
            safe(_valid(one)),
            safe(", ".join(one.gates) if one.gates else "all"),
            safe(one.schedule or "any time"),
        )
    return table


def person_card(one: PersonEntry) -> Table:
    """One person's record, a line for each thing known."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for title, value in (
        ("person", safe(one.person)),
        ("name", safe(one.name or "–")),
        ("state", _state(one)),
        ("templates", Text(str(one.templates))),
        ("enrolled", safe(_local(one.enrolled_at))),
        ("valid", safe(_valid(one))),
        ("gates", safe(", ".join(one.gates) if one.gates else "all")),
        ("schedule", safe(one.schedule or "any time")),
        ("consent", safe(one.consent or "–")),
    ):
        table.add_row(Text(title, "bold"), value)
    return table


def _state(one: PersonEntry) -> Text:
    return safe(one.state, "" if one.state == "active" else "yellow")


def _valid(one: PersonEntry) -> str:
    bounds = (("from", one.valid_from), ("until", one.valid_until))
    return " ".join(f"{word} {_local(instant)}" for word, instant in bounds if instant is not None) or "always"


def status_table(found: dict[str, StatusMessage]) -> Table:
    table = _table(
        "gate",
        "mode",
        "state",
        "camera",
        "threshold",
        "for claims",
        "said",
        "why",
    )
    for name, one in sorted(found.items()):
        state = "stale" if is_stale(one) else one.state
        table.add_row(
            safe(name, "cyan"),
            safe(one.mode or "–"),
            safe(state, _STATE_STYLES.get(state, "red")),
            safe(one.camera or "–"),
            "–" if one.threshold is None else f"{one.threshold:.3f}",
            "–" if one.claim_threshold is None else f"{one.claim_threshold:.3f}",
            "–" if one.at is None else f"{_brief(age_s(one.at))} ago",
            safe(", ".join([*one.reasons, *_under_way(one)])),
        )
    return table


def daemon_lines(found: dict[str, StatusMessage]) -> list[Text]:
    """What the gates of one daemon share, a line for each different word about it: gates of one box mostly say the same."""
    said: dict[str, list[str]] = {}
    for name, one in sorted(found.items()):
        model = " on ".join(part for part in (one.model, one.provider) if part) or "no model"
        audit = "no audit" if one.audit is None else f"audit {one.audit.number}: {one.audit.head[:12]}…"
        gallery = f"{one.people} people, {counted(one.templates, 'template')}, revision {one.gallery_revision}"
        said.setdefault(f"{model}; {gallery}; {one.outbox_depth} in the outbox; {audit}; ostiary {one.version}", []).append(name)
    return [Text.assemble(safe(", ".join(gates), "cyan"), safe(f": {what}")) for what, gates in said.items()]


def _under_way(one: StatusMessage) -> list[str]:
    change = one.reembedding
    return [] if change is None else [f"reembedding: {change.done} of {change.of} with {change.model}"]


def decision_line(one: DecisionMessage) -> Text:
    mark, style = _MARKS[one.decision]
    name = one.name if isinstance(one.name, str) else None
    person = " ".join(part for part in (one.person, name) if part) or "–"
    late = Text("live", "dim") if one.live else Text("late", "bold magenta")
    return Text("  ").join(
        [
            safe(_local(one.captured_at, "%H:%M:%S.%f")[:12], "dim"),
            safe(f"{one.gate:<8}", "cyan"),
            Text(f"{mark} {one.decision:<7}", style),
            safe(f"{person:<12}"),
            safe(f"{one.reason:<18}"),
            Text(f"{_brief(age_s(one.captured_at)):>6}"),
            late,
            *([Text("↻ replaces an earlier answer", "yellow")] if one.supersedes else []),
        ]
    )


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title)
    return table
