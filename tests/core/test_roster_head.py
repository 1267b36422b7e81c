"""Attacks on the head of a roster, and what a box may conclude from it, whatever comes in which order."""

import hashlib
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import signing
from daemon.core.people.roster_head import LONGEST_LIFE_S, SETTLE_S, Coverage, Head, Part, Sum, head_said, made_head, read_head, total
from daemon.core.people.roster_wire import RosterError, topic

KEEPER, OTHER = (signing.private_key(bytes([n]) * 32) for n in (1, 2))
KEEPERS = {"box": KEEPER.public_key()}
NOW = 1_800_000_000.0


def digest(*what: object) -> bytes:
    return hashlib.sha256(repr(what).encode()).digest()


def sums(**counts: int) -> dict[str, Sum]:
    """What writers with so many records come to."""
    found: dict[str, Sum] = {}
    for writer, count in counts.items():
        for number in range(count):
            found[writer] = found.get(writer, Sum()).changed(None, digest(writer, number))
    return found


def head(number: int = 1, writers: dict[str, Sum] | None = None, now: float = NOW, life_s: float = 300.0) -> Head:
    return made_head(sums(a=2) if writers is None else writers, number=number, now=now, life_s=life_s)


# ---- as it travels


def test_a_head_is_read_as_it_was_made() -> None:
    made = head(7, sums(a=2, b=1))
    on, payload = head_said(made, "acme", "box", KEEPER)
    assert on == "ostiary/v1/acme/roster/head/box" and read_head(on, payload, KEEPERS) == made
    assert made.writers["a"].records == 2 and set(made.writers) == {"a", "b"}


def test_every_changed_byte_cut_and_move_is_noticed() -> None:
    on, payload = head_said(head(), "acme", "box", KEEPER)
    for place in range(len(payload)):
        for bad in (payload[:place], payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]):
            with pytest.raises(RosterError):
                read_head(on, bad, KEEPERS)
    for moved in (
        on.replace("acme", "other"),
        topic("acme", "key", "box"),
        topic("acme", "0" * 32, "box"),
        on + "/",
        "",
        on.replace("box", "b"),
    ):
        with pytest.raises(RosterError):
            read_head(moved, payload, KEEPERS)
    for elsewhere in (topic("acme", "key", "box"), topic("acme", "0" * 32, "box")):
        with pytest.raises(RosterError, match="not among"):
            read_head(elsewhere, signing.signed(KEEPER, elsewhere, msgspec.json.encode(head())), KEEPERS)
    for other in (OTHER, KEEPER):
        with pytest.raises(RosterError, match="not among the roster's keepers"):
            read_head(*head_said(head(), "acme", "desk", other), KEEPERS)
    with pytest.raises(RosterError, match="not signed"):
        read_head(*head_said(head(), "acme", "box", OTHER), KEEPERS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"number":1', b'"number":0'),
        (b'"number":1', b'"number":-1'),
        (b'"number":1', b'"number":9007199254740992'),
        (b'"number":1', b'"number":1e400'),
        (b'"number":1', b'"number":true'),
        (b'"made_at":1800000000.0', b'"made_at":NaN'),
        (b'"made_at":1800000000.0', b'"made_at":Infinity'),
        (b'"made_at":1800000000.0', b'"made_at":null'),
        (b'["a"', b"["),
        (b'{"a":[2,', b'{"a":[0,'),
        (b'{"a":[2,', b'{"a":[-2,'),
        (b'{"a":[2,', b'{"a":[9007199254740992,'),
        (b'{"a":', b'{"a/b":'),
        (b'{"a":', b'{"":'),
        (b'"writers":', b'"writer":'),
    ],
)
def test_a_keeper_that_says_nonsense_is_not_believed(old: bytes, new: bytes) -> None:
    on = topic("acme", "head", "box")
    plain = msgspec.json.encode(head()).replace(old, new)
    if old == b'["a"':
        plain = b'{"number":' + b"[" * 200_000 + b"}"
    with pytest.raises(RosterError, match="does not know"):
        read_head(on, signing.signed(KEEPER, on, plain), KEEPERS)


def test_a_head_names_so_many_writers_and_its_sums_are_digits() -> None:
    on = topic("acme", "head", "box")
    good = Part(1, "0" * 64)
    for writers in (
        {f"w{n}": good for n in range(1001)},
        *({"a": Part(1, text)} for text in ("", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n")),
    ):
        made = Head(number=1, writers=writers, made_at=NOW, expires_at=NOW + 9)
        with pytest.raises(RosterError):
            read_head(*head_said(made, "acme", "box", KEEPER), KEEPERS)
    with pytest.raises(RosterError):
        read_head(on, signing.signed(KEEPER, on, b'{"number":1,"pad":"' + b"x" * (1 << 20) + b'"}'), KEEPERS)


# ---- what a box believes


def covered(**counts: int) -> Coverage:
    return Coverage(writers=sums(**counts))


def test_no_older_longer_or_early_head_counts() -> None:
    box = covered(a=2)
    assert box.standing(NOW) == "no_head"
    for bad in (
        head(life_s=0.0), head(life_s=-1.0), head(now=NOW + 50, life_s=-40.0),
        head(life_s=LONGEST_LIFE_S + 1), head(now=NOW + 61), head(now=NOW - 300), head(now=NOW + 1e9),
        head(now=NOW - 1e9, life_s=2e9), head(now=1e308, life_s=300), head(now=-1e308, life_s=1e308),
    ):  # fmt: skip
        assert not box.hear(bad, NOW) and box.standing(NOW) == "no_head" and box.highest == 0
    assert box.hear(head(5), NOW) and box.standing(NOW) == "complete" and box.highest == 5
    for number in (4, 1):
        assert not box.hear(head(number), NOW)
    assert box.hear(head(5), NOW), "the same one again is no news"
    assert not box.hear(head(5, sums(a=1)), NOW), "a second one with its number is another keeper's, or one's that lost its memory"
    assert box.standing(NOW) == "complete"
    assert box.standing(NOW + 299.9) == "complete" and box.standing(NOW + 300) == "stale"
    assert box.standing(NOW - 61) == "stale", "a clock that went back"
    assert not Coverage(highest=5, writers=sums(a=2)).hear(head(4), NOW), "a box that was started again remembers"
    assert Coverage(highest=5, writers=sums(a=2)).hear(head(5), NOW)


def test_records_that_are_missing_close_the_roster_after_a_while_and_again_while_the_heads_go_on() -> None:
    box = covered(a=2)
    assert box.hear(head(1), NOW)
    for number in range(2, 60):
        now = NOW + number
        assert box.hear(head(number, sums(a=2 + number, b=1), now), now)
        assert box.standing(now) == ("complete" if now - NOW - 2 < SETTLE_S else "incomplete")
    assert box.lacking() == ("a", "b")
    assert Coverage(writers=sums(a=1)).hear(head(), NOW) and covered(a=1).standing(NOW) == "no_head"
    fresh = covered(a=1)
    assert fresh.hear(head(), NOW) and fresh.standing(NOW) == "incomplete", "a box that never had everything does not wait"


def test_a_clock_that_goes_back_gives_no_more_time() -> None:
    box = covered(a=2)
    assert box.hear(head(1, life_s=3600.0), NOW) and box.hear(head(2, sums(a=3), NOW - 50, 3600.0), NOW)
    assert box.standing(NOW) == "complete" and box.standing(NOW - 1) == "incomplete"


def test_what_no_head_counts_yet_takes_nothing_away() -> None:
    box = covered(a=2)
    assert box.hear(head(1, life_s=3600.0), NOW)
    for number in range(2, 30_000):
        box.change("b", None, digest("b", number))
    assert box.standing(NOW + 3000) == "complete"
    assert box.sum == total(box.writers) and box.sum.records == 29_998 + 2
    assert box.hear(head(2, sums(a=2), NOW), NOW) and box.standing(NOW) == "complete", "the keeper has not heard them"


def test_a_keeper_that_lags_behind_takes_nothing_away() -> None:
    """The box has gone past what the head counts: it has written more itself, or heard more."""
    box = covered(a=2)
    assert box.hear(head(1, life_s=3600.0), NOW)
    for number in range(2, 9):
        box.change("a", None, digest("a", number))
    box.change("a", digest("a", 0), digest("a", "0 anew"))
    for number in (2, 5, 8):
        assert box.hear(head(number, sums(a=number), NOW, 3600.0), NOW)
        assert box.standing(NOW + 3000) == "complete" and not box.lacking()
    assert box.hear(head(9, sums(a=10), NOW, 3600.0), NOW) and box.standing(NOW + 3000) == "incomplete"


@pytest.mark.parametrize("late", [False, True])
def test_a_newer_head_that_is_held_ends_the_wait_for_an_older_one(late: bool) -> None:
    """A box that was away gets the newest record of each person, and never holds what the head in between counted."""
    box, start = covered(a=2), sums(a=2)["a"]
    between = start.changed(digest("a", 0), digest("x"))
    end = between.changed(digest("x"), digest("y"))
    assert box.hear(head(1), NOW) and box.hear(head(2, {"a": between}), NOW)
    if late:
        assert box.hear(head(3, {"a": end}), NOW)
    box.change("a", digest("a", 0), digest("y"))
    assert box.hear(head(3, {"a": end}), NOW)
    assert box.standing(NOW + 100) == "complete" and not box.lacking()


def test_a_flood_of_heads_takes_no_room() -> None:
    box = covered(a=2)
    assert box.hear(head(1), NOW)
    for number in range(2, 2000):
        box.hear(head(number, {"a": Sum(number, number)}), NOW + number / 1000)
    assert len(box._waiting) <= 64 and box.standing(NOW + 25) == "incomplete"


Held = dict[tuple[str, int], int]
"""The version of each record, by writer and person."""
WRITERS = ("a", "b", "c")


@dataclass
class Site:
    """What the writers have written, and how far keeper and box have heard each of them."""

    written: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {name: [] for name in WRITERS})
    heard: dict[str, dict[str, int]] = field(default_factory=lambda: {who: dict.fromkeys(WRITERS, 0) for who in ("keeper", "box")})
    held: dict[str, Held] = field(default_factory=lambda: {"keeper": {}, "box": {}})
    coverages: dict[str, Coverage] = field(default_factory=lambda: {"keeper": Coverage(), "box": Coverage()})

    def write(self, writer: str, person: int) -> None:
        versions = [version for one, version in self.written[writer] if one == person]
        self.written[writer].append((person, len(versions) + 1))

    def take(self, who: str, writer: str, person: int, version: int) -> None:
        before = self.held[who].get((writer, person))
        if before is None or version > before:
            self.held[who][writer, person] = version
            old = digest(writer, person, before) if before is not None else None
            self.coverages[who].change(writer, old, digest(writer, person, version))

    def hear_next(self, who: str, writer: str) -> None:
        place = self.heard[who][writer]
        if place < len(self.written[writer]):
            self.take(who, writer, *self.written[writer][place])
            self.heard[who][writer] += 1

    def hear_rest(self, who: str, writer: str, backwards: bool) -> None:
        """What is retained: the newest record of each person, in any order."""
        rest = dict(self.written[writer][self.heard[who][writer] :])
        for person in sorted(rest, reverse=backwards):
            self.take(who, writer, person, rest[person])
        self.heard[who][writer] = len(self.written[writer])


STEPS = st.lists(
    st.one_of(
        # Somebody writes, and keeper, box, both or nobody hear it at once.
        st.tuples(st.just("write"), st.sampled_from(WRITERS), st.integers(0, 2), st.sampled_from(["keeper", "box", "keeper box", ""])),
        st.tuples(st.just("next"), st.sampled_from(WRITERS), st.just(0), st.sampled_from(["keeper", "box"])),
        st.tuples(st.just("rest"), st.sampled_from(WRITERS), st.integers(0, 1), st.just("box")),
        # A head is made, and the box hears it, an older one, or none.
        st.tuples(st.just("head"), st.just(""), st.integers(0, 5), st.just("")),
        st.tuples(st.just("hear"), st.just(""), st.integers(0, 9), st.just("")),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([1, 9, 15, 21]), st.just("")),
    ),
    min_size=10,
    max_size=60,
)


@given(STEPS)
@settings(max_examples=500)
def test_a_box_is_never_complete_while_what_a_believed_head_counts_has_been_missing_for_too_long(
    steps: list[tuple[str, str, int, str]],
) -> None:
    """Whatever interleaving of records and heads, late, lost, out of order and repeated; and it is complete again when all is quiet."""
    site, now, number = Site(), NOW, 0
    box = site.coverages["box"]
    made: list[tuple[Head, Held]] = []
    believed: list[tuple[float, Held]] = []

    def new_head() -> None:
        nonlocal number
        number += 1
        made.append((made_head(site.coverages["keeper"].writers, number=number, now=now, life_s=60.0), dict(site.held["keeper"])))

    for what, writer, which, to in steps:
        if what == "write":
            site.write(writer, which)
        if what in ("write", "next"):
            for who in to.split():
                site.hear_next(who, writer)
        elif what == "rest":
            site.hear_rest("box", writer, bool(which))
        elif what == "head":
            new_head()
        if what == "hear" or (what == "head" and which < 5):
            one, counted = made[-1 - which % len(made)] if made else (made_head({}, number=1, now=now, life_s=-1.0), Held())
            if box.hear(one, now):
                believed.append((now, counted))
        elif what == "wait":
            now += which
        if box.standing(now) == "complete":
            held = site.held["box"]
            has = [(since, all(held.get(which_, 0) >= version for which_, version in counted.items())) for since, counted in believed]
            assert any(whole for _, whole in has), "complete, and it never had all that any head counts"
            assert all(whole for since, whole in has if now - since >= SETTLE_S)
    for writer in WRITERS:
        site.hear_rest("keeper", writer, backwards=False)
        site.hear_rest("box", writer, backwards=True)
    new_head()
    assert box.hear(made[-1][0], now) and box.standing(now) == "complete"
    assert box.sum == site.coverages["keeper"].sum


@given(st.lists(st.tuples(st.sampled_from(WRITERS), st.integers(0, 3), st.integers(0, 8)), max_size=80), st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_desks_that_work_without_a_pause_close_nothing(work: list[tuple[str, int, int]], chance: Random) -> None:
    """Box and keeper hear the desks in different orders, each record some seconds late, and a head is made every second."""
    site, box = Site(), Coverage()
    site.coverages["box"] = box
    due: list[tuple[float, str, str]] = []
    last = {(who, name): NOW for who in ("keeper", "box") for name in WRITERS}
    heads: list[tuple[float, Head]] = []
    assert box.hear(made_head({}, number=1, now=NOW, life_s=60.0), NOW)
    for second in range(len(work) + 20):
        now = NOW + second
        if second < len(work):
            writer, person, _ = work[second]
            site.write(writer, person)
            for who in ("keeper", "box"):
                last[who, writer] = at = max(last[who, writer], now + chance.random() * 9)  # one writer's records keep their order
                due.append((at, who, writer))
        for one in sorted(one for one in due if one[0] <= now):
            due.remove(one)
            site.hear_next(one[1], one[2])
        heads.append((now + chance.random() * 5, made_head(site.coverages["keeper"].writers, number=second + 2, now=now, life_s=60.0)))
        for one_head in sorted((one for one in heads if one[0] <= now), key=lambda one: one[0]):
            heads.remove(one_head)
            box.hear(one_head[1], now)
        assert box.standing(now) == "complete", second
