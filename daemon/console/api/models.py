"""What the API takes and gives. The messages of the gates have their schemas from the contract (`openapi.py`)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints, WithJsonSchema, model_validator

from daemon.console.roles import RoleName
from daemon.core import messages as m

PERSON = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
SEGMENT = r"^[A-Za-z0-9._-]{1,64}$"
PersonId = Annotated[str, StringConstraints(pattern=PERSON)]
GateName = Annotated[str, StringConstraints(pattern=SEGMENT)]
Instant = Annotated[
    AwareDatetime,
    Field(ge=datetime(m.YEARS[0], 1, 2, tzinfo=UTC), lt=datetime(m.YEARS[-1], 12, 31, tzinfo=UTC)),
    PlainSerializer(lambda value: value.isoformat(), when_used="json"),
]


def of_contract(name: str) -> Any:
    """A message of the contract, as it comes."""
    return Annotated[dict[str, Any], WithJsonSchema({"$ref": f"#/components/schemas/{name}"})]


class Strict(BaseModel):
    """A request: a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class Error(BaseModel):
    """What is wrong, the next step, and one word for programs."""

    model_config = ConfigDict(extra="allow")
    error: str
    hint: str
    code: str


# ---- sessions


class Login(Strict):
    user: Annotated[str, StringConstraints(max_length=200)]
    password: Annotated[str, StringConstraints(max_length=2000)]


class LoggedIn(BaseModel):
    """`token` is null for a browser: its pages need none, and nothing on them should be able to read one."""

    user: str
    role: RoleName
    csrf: str
    token: str | None
    expires_at: str


class SessionNow(BaseModel):
    """`visitors`: whether the console can show unknown visitors. `metrics`: a link for some gates."""

    user: str
    role: RoleName
    csrf: str
    expires_at: str
    site: str
    visitors: bool
    metrics: dict[str, str]


# ---- gates and decisions


class LinkNow(BaseModel):
    connected: bool
    trouble: str | None


class Advice(BaseModel):
    """A reason of a status: its word, what is so, and the next step."""

    word: str
    line: str
    next: str


class Gate(BaseModel):
    gate: str
    stale: bool
    status: of_contract("Seen") | None  # type: ignore[valid-type]
    advice: list[Advice]


class GatesNow(BaseModel):
    link: LinkNow
    gates: list[Gate]


class Decisions(BaseModel):
    """Newest first."""

    decisions: list[of_contract("DecisionMessage")]  # type: ignore[valid-type]
    gaps: list[of_contract("GapMessage")]  # type: ignore[valid-type]


# ---- people


class Person(BaseModel):
    """A person as the gates know them. `at`: the gates that know the person. `differs`: they do not say the same."""

    person: str
    name: str | None
    state: str
    templates: int
    enrolled_at: str
    valid_from: str | None
    valid_until: str | None
    gates: list[str] | None
    schedule: str | None
    at: list[str]
    differs: bool


class PeoplePage(BaseModel):
    """`silent`: the gates without an answer, whose people may be missing."""

    people: list[Person]
    next_after: str | None
    silent: list[str]


class OnePerson(Person):
    consent: str | None
    records: dict[str, of_contract("PersonEntry")]  # type: ignore[valid-type]
    silent: list[str]


class Other(BaseModel):
    person: str
    name: str | None


class Answer(BaseModel):
    """One gate's answer. `words` and `next` are its reason in plain words and what to do."""

    gate: str
    status: m.Outcome
    reason: str | None
    detail: str | None
    person: str | None
    words: str
    next: str
    other: Annotated[Other | None, Field(description="whose face it is already, for duplicate_of and lookalike")] = None


class Answers(BaseModel):
    answers: list[Answer]


class Picture(BaseModel):
    """One file of an upload: whether it was sent to the gates, and if not, why not."""

    file: str
    taken: bool
    words: str


class Enrolled(Answers):
    pictures: list[Picture]


Name = Annotated[str, StringConstraints(max_length=200)]
Schedule = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Consent = Annotated[str, StringConstraints(max_length=500)]
Gates = Annotated[list[GateName], Field(min_length=1, max_length=64)]


class Record(Strict):
    """What a record says beside the pictures; null is no name, no limit, every gate."""

    name: Name | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    gates: Gates | None = None
    schedule: Schedule | None = None
    consent: Consent | None = None


class Change(Record):
    """A change of a record: an absent field stays, null clears it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _changes(self) -> "Change":
        if not self.model_fields_set:
            raise ValueError("the change is empty: give name, valid_from, valid_until, gates, schedule or consent")
        return self


class Capture(Record):
    """Enrol whoever stands before the camera of `gate`."""

    gate: GateName
    seconds: Annotated[float, Field(ge=1, le=m.MAX_CAPTURE_S)] = 5.0
    force: bool = False
    replace: bool = False
    dry_run: bool = False


class Upload(Record):
    """The fields of an upload beside its pictures. `at`: the gate that is asked, or all."""

    at: GateName = "all"
    force: bool = False
    replace: bool = False
    dry_run: bool = False


class Visitor(BaseModel):
    id: str
    gate: str
    seen_at: str
    gone_at: str
    reason: str


class Visitors(BaseModel):
    visitors: list[Visitor]


class Assign(Record):
    """Who the unknown visitor is."""

    person: PersonId
    force: bool = False
    replace: bool = False


Word = Literal["accept", "reject", "unknown"]
