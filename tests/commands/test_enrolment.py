"""Stories about who may be enrolled: somebody else's record, people who look alike, the best templates, and what needs a grant.

In these pictures brightness is the face. At 100, 110 is a `duplicate_of` (8°, similarity 0.990), 114 a `lookalike` (10°, 0.985), and 120
(14°, 0.970) is somebody else to the gate and the same person to their own record; 125 (18°, 0.953) shows one person with 100 in one
command, but is not added to 100's record later.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.commands.answers import Answer
from daemon.commands.deferred import Deferred
from daemon.commands.desk import Desk
from daemon.commands.enrolment import Pictures, decoded, embedded
from daemon.core.messages import Enroll
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Person, Template
from daemon.edges.store import Store, open_store
from tests.fixtures.asking import done, refused, send, who
from tests.fixtures.desk import MODELS, NOW, TOPIC, command, desk, painted, tables

ALICE, TWIN, LOOKALIKE, ALIKE, FAR, BOB = 100, 110, 114, 120, 125, 240


@pytest.fixture
def the_desk(store: Store) -> Desk:
    return desk(store)


@pytest.fixture
def granted(store: Store) -> Desk:
    return desk(store, grants=frozenset({"force", "replace", "capture"}))


def enroll(person: str, *faces: int, issued: float = 0.0, **more: Any) -> bytes:
    return command("enroll", person, [painted(face) for face in faces], issued=issued, **more)


# ---- somebody else's record


def test_one_persons_pictures_may_differ_more_in_one_command_than_from_a_record(the_desk: Desk) -> None:
    done(the_desk, enroll("E1", ALICE, FAR))
    done(the_desk, enroll("E2", BOB))
    refused(the_desk, enroll("E2", BOB - 25, issued=1), "inconsistent")
    done(the_desk, enroll("E2", BOB - 20, issued=2))


def test_a_strangers_picture_is_not_added_to_somebodys_record(the_desk: Desk, tmp_path: Path) -> None:
    done(the_desk, enroll("E1", ALICE))
    before = tables(tmp_path)
    for faces in ([BOB], [ALICE, BOB], [BOB, BOB, ALICE, ALICE]):
        refused(the_desk, enroll("E1", *faces, issued=1), "inconsistent")
    assert tables(tmp_path) == before and who(the_desk, BOB) is None


@pytest.mark.parametrize("first", [(100, 100, 100), (99, 100, 101), (100,)])
def test_nor_is_it_in_small_steps(the_desk: Desk, first: tuple[int, ...]) -> None:
    done(the_desk, enroll("E1", *first))
    done(the_desk, enroll("E1", 120, issued=1))
    refused(the_desk, enroll("E1", 140, issued=2), "inconsistent")


def as_of_another_model(store: Store, person: str) -> None:
    """Let the person's vectors be those that another model made of the same crops."""
    with store.transaction():
        store.database.connection.execute("DELETE FROM vectors")
        for template in store.templates_of(person):
            assert store.put_vector(template.number, person, "older", MODELS["painted-2"].embedder.embed(seen_crops(template))[0])


def seen_crops(template: Template) -> np.ndarray:
    crop = decoded(template.crop)
    assert crop is not None
    return crop[None]


def test_nor_to_a_record_whose_templates_are_another_models(the_desk: Desk, store: Store) -> None:
    done(the_desk, enroll("E1", ALICE))
    the_desk.current.serving.gallery.remove("E1")
    as_of_another_model(store, "E1")
    refused(the_desk, enroll("E1", BOB, issued=1), "inconsistent")
    done(the_desk, enroll("E1", ALICE + 1, issued=2))
    assert [sorted(t.vectors) for t in store.templates_of("E1")] == [["older", "painted-1"], ["painted-1"]], "what had to be made is kept"
    assert the_desk.current.serving.gallery.templates == 2


def test_a_record_without_a_usable_template_takes_none(granted: Desk) -> None:
    granted.current.people["E1"] = Person("E1")
    refused(granted, enroll("E1", ALICE, issued=1), "inconsistent")
    done(granted, enroll("E1", ALICE, issued=2, replace=True))


# ---- people who look alike


@pytest.mark.parametrize(("face", "reason"), [(ALICE, "duplicate_of"), (TWIN, "duplicate_of"), (LOOKALIKE, "lookalike")])
def test_who_looks_like_somebody_else_is_refused_and_told_whom(the_desk: Desk, tmp_path: Path, face: int, reason: str) -> None:
    done(the_desk, enroll("E1", ALICE))
    before = tables(tmp_path)
    assert "E1" in str(refused(the_desk, enroll("E2", face), reason).detail)
    assert tables(tmp_path) == before and list(the_desk.current.people) == ["E1"]


def test_who_is_only_somewhat_alike_is_enrolled(the_desk: Desk) -> None:
    done(the_desk, enroll("E1", ALICE))
    done(the_desk, enroll("E2", ALIKE))


def test_more_pictures_of_oneself_may_not_come_near_somebody_else(the_desk: Desk) -> None:
    done(the_desk, enroll("E1", ALICE))
    done(the_desk, enroll("E2", ALIKE))
    assert "E2" in str(refused(the_desk, enroll("E1", LOOKALIKE, issued=1), "duplicate_of").detail)


def test_twins_are_enrolled_with_force_which_is_no_key_to_anybodys_record(granted: Desk) -> None:
    done(granted, enroll("E1", ALICE))
    done(granted, enroll("E2", TWIN, force=True))
    refused(granted, enroll("E1", BOB, issued=1, force=True), "inconsistent")
    refused(granted, enroll("E3", ALICE, BOB, force=True), "inconsistent")


# ---- replacing


def test_replacing_puts_another_face_on_the_record_and_drops_old_evidence(granted: Desk, store: Store) -> None:
    done(granted, enroll("E1", ALICE, ALICE, name="Alice"))
    send(granted, command("suspend", "E1", issued=1))
    answer = send(granted, enroll("E1", BOB, issued=2, replace=True))
    assert answer.result.status == "done" and answer.barred == "E1"
    assert (who(granted, ALICE), who(granted, BOB)) == (None, "E1")
    assert len(store.templates_of("E1")) == granted.current.serving.gallery.templates == 1
    record = granted.current.people["E1"]
    assert record.name == "Alice" and record.suspended, "the record stays, and so does the suspension"


def test_nobody_is_replaced_by_somebody_else_who_is_enrolled(granted: Desk) -> None:
    done(granted, enroll("E1", ALICE))
    done(granted, enroll("E2", BOB))
    refused(granted, enroll("E1", BOB, issued=1, replace=True), "duplicate_of")


# ---- grants


@pytest.mark.parametrize("more", [{"force": True}, {"replace": True}, {"capture": {"seconds": 5}}])
def test_what_is_not_granted_is_refused(store: Store, more: dict[str, Any]) -> None:
    (wanted,) = more
    for others in (frozenset(), frozenset({"force", "replace", "capture"} - {wanted})):
        payload = command("enroll", "E1", None if wanted == "capture" else [painted(ALICE)], **more)
        assert wanted in str(refused(desk(store, grants=others), payload, "not_granted").detail)


# ---- the best templates


def test_a_newer_template_takes_the_place_of_the_one_that_adds_least(the_desk: Desk, store: Store) -> None:
    done(the_desk, enroll("E1", 100, 101, 110))
    done(the_desk, enroll("E1", 115, issued=1))
    assert the_desk.current.serving.gallery.templates == 4
    result = done(the_desk, enroll("E1", 120, issued=2))
    assert "1 of 1 template added, 1 older one removed" in str(result.detail)
    assert the_desk.current.serving.gallery.templates == len(store.templates_of("E1")) == 4
    faces = faces_of(the_desk, "E1")
    assert faces[0] == 100 and faces[-1] == 120
    stored = [t.vectors["painted-1"] for t in store.templates_of("E1")]
    np.testing.assert_array_equal(stored, the_desk.current.serving.gallery.vectors_of("E1"))


def faces_of(the_desk: Desk, person: str) -> list[int]:
    """Which faces the person's templates show, to the next even number (JPEG is not exact)."""
    angles = [float(np.degrees(np.arctan2(v[1], v[0]))) for v in the_desk.current.serving.gallery.vectors_of(person)]
    return sorted(2 * round(angle * 255 / 180 / 2) for angle in angles)


def test_the_template_a_record_began_with_stays(the_desk: Desk) -> None:
    for number, face in enumerate((102, 110, 118, 126, 98)):
        done(the_desk, enroll("E1", face, issued=number))
    assert 102 in faces_of(the_desk, "E1"), "though all the others cover more"


def test_templates_count_whatever_models_have_seen_them_and_those_that_stay_keep_every_vector(the_desk: Desk, store: Store) -> None:
    done(the_desk, enroll("E1", 100))
    the_desk.current.serving.gallery.remove("E1")
    as_of_another_model(store, "E1")
    done(the_desk, enroll("E1", 105, 110, 115, issued=1))
    done(the_desk, enroll("E1", 120, issued=2))
    assert [sorted(t.vectors) for t in store.templates_of("E1")] == [["older", "painted-1"], *[["painted-1"]] * 3]
    assert the_desk.current.serving.gallery.templates == 4 and faces_of(the_desk, "E1")[0] == 100


def test_what_the_model_cannot_see_at_all_is_the_first_to_go(the_desk: Desk, store: Store) -> None:
    done(the_desk, enroll("E1", 100, 105, 110, 115))
    with store.transaction():
        store.database.connection.execute("DELETE FROM vectors WHERE number = 2")
        store.database.connection.execute("UPDATE crops SET sealed = zeroblob(50) WHERE number = 2")
    result = done(the_desk, enroll("E1", 107, issued=1))
    assert "1 older one removed" in str(result.detail)
    assert [t.number for t in store.templates_of("E1")] == [1, 3, 4, 5] and the_desk.current.serving.gallery.templates == 4


def test_one_picture_three_times_is_one_template_now_and_later(the_desk: Desk, store: Store) -> None:
    first = done(the_desk, enroll("E1", ALICE, ALICE, ALICE))
    assert first.detail == "1 template made; 2 pictures left out: the same as one that is there"
    again = done(the_desk, enroll("E1", ALICE, issued=1, name="Alice"))
    assert again.detail == "0 templates added; 1 picture left out: the same as one that is there"
    assert the_desk.current.people["E1"].name == "Alice", "the record changes all the same"
    both = done(the_desk, enroll("E1", ALICE, ALICE + 1, issued=2))
    assert both.detail == "1 template added; 1 picture left out: the same as one that is there"
    assert len(store.templates_of("E1")) == the_desk.current.serving.gallery.templates == 2


def test_a_repeated_picture_is_no_witness_for_another(the_desk: Desk) -> None:
    refused(the_desk, enroll("E1", ALICE, ALICE, ALICE, BOB), "inconsistent")
    done(the_desk, enroll("E1", ALICE))
    done(the_desk, enroll("E2", BOB))
    refused(the_desk, enroll("E2", ALICE, issued=1), "inconsistent")


def test_the_first_template_stays_when_its_picture_comes_again_to_a_full_record(the_desk: Desk, store: Store) -> None:
    done(the_desk, enroll("E1", 100, 105, 110, 115))
    done(the_desk, enroll("E1", 100, 107, issued=1))
    kept = [t.number for t in store.templates_of("E1")]
    assert len(kept) == 4 and kept[0] == 1
    assert "0 templates added" in str(done(the_desk, enroll("E1", 100, issued=2)).detail)
    assert [t.number for t in store.templates_of("E1")] == kept


def test_of_many_pictures_in_one_command_the_best_are_kept(the_desk: Desk) -> None:
    assert "4 templates made" in str(done(the_desk, enroll("E1", 99, 100, 101, 104, 105, 110)).detail)
    assert the_desk.current.serving.gallery.templates == 4


def test_what_was_let_go_is_gone_after_a_restart_too(the_desk: Desk, store: Store, tmp_path: Path) -> None:
    done(the_desk, enroll("E1", 100, 101, 110, 115))
    done(the_desk, enroll("E1", 120, issued=1))
    kept = [t.vectors["painted-1"].tobytes() for t in store.templates_of("E1")]
    store.close()
    again = open_store(tmp_path)
    assert [t.vector.tobytes() for t in again.vectors("painted-1")] == kept and len(kept) == 4
    again.close()


# ---- pictures from the camera


def test_a_capture_waits_for_its_pictures_and_is_judged_when_they_are_there(granted: Desk, store: Store) -> None:
    def look(payload: bytes) -> Deferred[Enroll]:
        waiting = granted.handle("north", "t", payload, False, NOW + 1, TOPIC)
        assert isinstance(waiting, Deferred) and store.depth() == depth
        return waiting

    def crops(*faces: int) -> Pictures:
        return embedded([np.full((112, 112, 3), face, np.uint8) for face in faces], granted.current.serving.model)

    def too_dark() -> Pictures:
        raise EnrolError("too_dark", "more light")

    depth = 0
    first = look(command("enroll", "E1", capture={"seconds": 5}))
    assert granted.finish(first, lambda: crops(ALICE, ALICE), NOW + 6).result.status == "done"
    depth = 1
    mixed = look(command("enroll", "E2", capture={"seconds": 5}))
    assert granted.finish(mixed, lambda: crops(BOB, ALICE), NOW + 6).result.reason == "inconsistent"
    depth = 2
    assert granted.finish(look(command("enroll", "E2", capture={"seconds": 5})), too_dark, NOW + 6).result.reason == "too_dark"
    depth = 3
    late = look(command("enroll", "E1", capture={"seconds": 5}, issued=1))
    answer = granted.handle("north", "t", command("revoke", "E1", issued=2), False, NOW + 3, TOPIC)
    assert isinstance(answer, Answer)
    assert granted.finish(late, lambda: crops(ALICE), NOW + 6).result.reason == "superseded"
    assert granted.current.people == {} and granted.current.serving.gallery.templates == 0
