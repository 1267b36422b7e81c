"""What is put down of each face of each frame, and that putting it down changes nothing."""

from daemon.core.passages.traces import Moment, State
from daemon.core.values import Match, Quality
from tests.drawing.film import DAY, Film


def seen(*shown: str) -> list[Moment]:
    film = Film(list(shown))
    film.play()
    return [moment for frame in film.seen for moment in frame]


def test_states_go_from_gathering_to_the_answer_and_poor_frames_are_poor_whatever_stands() -> None:
    found = seen("A", "A", "A", "x", "A")
    assert [moment.state for moment in found] == [State.GATHERING, State.GATHERING, State.ACCEPT, State.POOR, State.ACCEPT]
    assert found[3].standing is State.ACCEPT and found[3].single is None
    assert found[3].quality is Quality.TOO_BRIGHT and found[3].fused is not None, "what was seen before still stands"
    assert [moment.good for moment in found] == [1, 2, 3, 3, 4]


def test_every_frame_has_its_own_and_the_fused_similarity_also_where_the_gate_did_not_look() -> None:
    found = seen("A", "A", "s", "s")
    assert [moment.looked for moment in found] == [False, False, True, False]
    singles = [moment.single for moment in found]
    assert all(single is not None and single.person == "ada" for single in singles)
    (fused,) = {moment.fused.person for moment in found if moment.fused is not None}
    assert fused == "ada"
    assert isinstance(found[2].fused, Match) and isinstance(found[2].single, Match)
    assert found[2].fused.similarity > found[2].single.similarity, "the fused vector remembers the two frames before"


def test_a_frame_that_is_not_taken_for_this_face_is_set_aside() -> None:
    found = seen("A", "A", "A", "B", "A")
    assert [moment.aside for moment in found] == [False, False, False, True, False]
    assert found[3].single is not None and found[3].single.person == "bob"


def test_a_face_that_becomes_another_is_a_passage_of_its_own() -> None:
    assert [moment.passage for moment in seen("A", "A", "A", "B", "B")] == [1, 1, 1, 1, 2]


def test_two_faces_keep_their_order() -> None:
    film = Film(["As"] * 4)
    film.play()
    assert [[moment.box.x for moment in frame] for frame in film.seen] == [[35, 185]] * 4
    assert {moment.single.person for frame in film.seen for moment in frame if moment.single} == {"ada"}


def test_looking_on_changes_no_line() -> None:
    shown = [*DAY.shown, *["As"] * 20]
    plain = Film(shown).play(watched=False)
    assert plain == Film(shown).play() and len(plain) > 3


def test_nobody_in_view_is_nothing_to_ask() -> None:
    film = Film([""])
    film.play()
    assert film.seen == [()]
