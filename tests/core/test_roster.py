"""Rosters that several desks write: whoever joins what with whom, all hold the same; and nobody who was shut out comes back unnoticed."""

import hashlib
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.people.roster import Card, Face, Record, Records, Stamp, State, effective, joined, next_stamp, standing

DESKS = ("a", "b", "c")
STATES: tuple[State, ...] = ("active", "suspended", "revoked")


def record(desk: str, known: Records, **card: object) -> Record:
    said = Card(person="E1", **card)  # type: ignore[arg-type]
    stamp = next_stamp(desk, known)
    return Record(stamp, said, hashlib.sha256(repr((stamp, said)).encode()).digest())


@dataclass
class Desk:
    """What a desk has heard, and which bars it knows of."""

    records: dict[str, Record] = field(default_factory=dict)
    knows: set[int] = field(default_factory=set)

    def hear(self, other: "Desk") -> None:
        self.records = joined(self.records, other.records)
        self.knows |= other.knows


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.sampled_from(DESKS), st.sampled_from(STATES)),
        st.tuples(st.just("meet"), st.sampled_from(DESKS), st.sampled_from(DESKS)),
    ),
    max_size=25,
)


@given(STEPS, st.permutations(DESKS))
@settings(max_examples=300)
def test_nobody_is_let_in_by_a_desk_that_has_not_heard_who_shut_them_out_and_all_converge(
    steps: list[tuple[str, str, str]], order: list[str]
) -> None:
    desks = {name: Desk() for name in DESKS}
    bars: dict[int, State] = {}
    lifted: set[int] = set()
    for number, (what, one, two) in enumerate(steps):
        desk = desks[one]
        if what == "meet":
            desk.hear(desks[two])
            continue
        state: State = two  # type: ignore[assignment]
        desk.records[one] = record(one, desk.records, state=state, name=f"n{number}")
        now = effective(desk.records)
        assert now is not None and now.state == state, "a desk that knows everything it has heard decides"
        stricter = STATES.index(state)
        lifted |= {bar for bar in desk.knows if STATES.index(bars[bar]) > stricter}
        if state != "active":
            bars[number] = state
            desk.knows.add(number)
    ends = []
    for start in (order, order[::-1]):
        whole = Desk()
        for name in start:
            whole.hear(desks[name])
        ends.append(effective(whole.records))
    assert ends[0] == ends[1]
    if ends[0] is not None:
        for bar in bars.keys() - lifted:
            assert STATES.index(ends[0].state) >= STATES.index(bars[bar]), (bars, lifted)


@st.composite
def sides(draw: st.DrawFn) -> dict[str, Record]:
    desks = draw(st.lists(st.sampled_from(DESKS), max_size=3, unique=True))
    made: dict[str, Record] = {}
    for desk in desks:
        for _ in range(draw(st.integers(1, 2))):
            made[desk] = record(
                desk, made if draw(st.booleans()) else {}, state=draw(st.sampled_from(STATES)), name=draw(st.text("xy", max_size=1))
            )
    return made


@given(sides(), sides(), sides())
def test_joining_is_commutative_associative_and_idempotent(one: Records, two: Records, three: Records) -> None:
    assert joined(one, two) == joined(two, one)
    assert joined(joined(one, two), three) == joined(one, joined(two, three))
    assert joined(one, one) == one == joined(one, {})
    assert effective(joined(one, two, three)) == effective(joined(three, two, one))


def test_a_revocation_stands_against_any_number_of_edits_that_did_not_know_of_it() -> None:
    start = {"a": record("a", {})}
    revoked = joined(start, {"b": record("b", start, state="revoked")})
    edited = start
    for number in range(50):
        edited = joined(edited, {"c": record("c", edited, name=str(number))})
    both = joined(revoked, edited)
    assert len(standing(both)) == 2
    card = effective(both)
    assert card is not None and card.state == "revoked"
    again = joined(both, {"c": record("c", both, name="again")})
    card = effective(again)
    assert card is not None and (card.state, card.name) == ("active", "again")
    assert len(standing(again)) == 1


def test_what_two_desks_changed_at_once_is_what_both_allow() -> None:
    face, other = Face(b"1", {}), Face(b"2", {})
    start = {"a": record("a", {}, faces={"1": face}, gates=("n", "s"), valid_until=9.0)}
    left = {"a": record("a", start, faces={"1": face, "2": other}, gates=("n",), valid_from=3.0, schedule="day")}
    right = {"b": record("b", start, faces={"1": face}, gates=("n", "s"), valid_until=5.0, name="B")}
    card = effective(joined(start, left, right))
    assert card is not None
    assert (card.gates, card.valid_from, card.valid_until, card.schedule, card.faces) == (("n",), 3.0, 5.0, "day", {"1": face})
    assert not card.disputed and card.state == "active"


def test_nobody_passes_while_two_desks_disagree_about_face_or_schedule() -> None:
    start = {"a": record("a", {}, faces={"1": Face(b"1", {})})}
    for one, two in (
        ({"schedule": "day"}, {"schedule": "night"}),
        ({"faces": {"2": Face(b"2", {})}}, {"faces": {"3": Face(b"3", {})}}),
    ):
        both = joined({"a": record("a", start, **one)}, {"b": record("b", start, **two)})
        card = effective(both)
        assert card is not None and card.disputed and card.state == "suspended"
        card = effective(joined(both, {"b": record("b", both, **two)}))
        assert card is not None and not card.disputed and card.state == "active"


def test_a_writer_without_memory_does_not_split_the_others() -> None:
    first, second = {"a": record("a", {}, name="1")}, {"a": record("a", {}, name="2")}
    assert joined(first, second) == joined(second, first)


def test_a_retired_writer_lets_nobody_in_and_keeps_out_whom_it_shut_out() -> None:
    mine, other = {"1": Face(b"1", {})}, {"2": Face(b"2", {})}
    start = {"a": record("a", {}, name="A", faces=mine)}
    edited = joined(start, {"north": record("north", start, name="N", faces=mine)})
    revoked = joined(start, {"north": record("north", start, state="revoked")})
    # Whoever has the key of north says that they know everything, and puts another face in the place of the person's.
    thief = joined(edited, {"north": record("north", edited, name="thief", faces=other)})
    again = joined(start, {"north": record("north", joined(start, revoked), faces=other)})
    for records, state, faces in (
        (edited, "suspended", mine),
        (revoked, "revoked", {}),
        (thief, "suspended", mine),
        (again, "suspended", mine),
    ):
        card = effective(records, ["north"])
        assert card is not None and (card.state, card.faces, card.disputed) == (state, faces, False)
        decided = {**records, "b": record("b", records, faces=card.faces)}
        card = effective(decided, ["north"])
        assert card is not None and (card.state, card.faces) == ("active", faces), "another desk decides, knowing what there is"
        later = joined(decided, {"north": record("north", decided, faces=other)})
        card = effective(later, ["north"])
        assert card is not None and (card.state, card.faces) == ("suspended", faces)
    alone = effective({"north": record("north", {}, faces=other)}, ["north"])
    assert alone is not None and (alone.state, alone.faces) == ("suspended", {}), "enrolled by nobody else: to be enrolled again"
    barred = joined(start, {"b": record("b", start, state="suspended")})
    lifted = joined(barred, {"north": record("north", barred, faces=mine)})
    card = effective(lifted, ["north"])
    assert card is not None and card.state == "suspended"


def test_a_claim_to_know_what_nobody_has_written_yet_says_nothing() -> None:
    """A box whose key was stolen cannot say that it knows all revocations to come, nor use up another writer's numbers."""
    most = (1 << 53) - 1
    records: dict[str, Record] = {"a": record("a", {})}
    for _ in range(20):
        for claim in (most, records["a"].stamp.number + 999_999, records["a"].stamp.number + 5):
            lie = record("c", records, state="active")
            records["c"] = Record(Stamp("c", {**lie.stamp.seen, "a": claim}), lie.card, lie.digest)
            revoked = joined(records, {"a": record("a", records, state="revoked")})
            card = effective(revoked)
            assert card is not None and card.state == "revoked"
            records["a"] = revoked["a"]
            both = record("b", records)
            assert both.stamp.seen["a"] == revoked["a"].stamp.number, "an honest writer does not spread the lie"
    assert records["a"].stamp.number < 100_000_000
