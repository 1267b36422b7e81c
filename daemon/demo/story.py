"""The acts of the demo: who comes to the gate, what is commanded, and what must be decided."""

from pathlib import Path

from daemon.demo.frames import enrolment_photo
from daemon.demo.theatre import Theatre

PERSON = "E1001"


def play(theatre: Theatre, album: Path) -> None:
    """All acts; the photo for the enrolment is written into the folder `album`. Raises DemoFailed."""
    stage = theatre.stage
    theatre.act("A stranger walks up")
    stage.enter("collins", 1)
    theatre.expect("unknown", "no_match", None)

    photo = album / "enrolment.jpg"
    photo.write_bytes(enrolment_photo("collins"))
    theatre.act("She is enrolled from one photo while she waits")
    theatre.command("enroll", PERSON, "--image", str(photo), "--name", "Eileen Collins")
    theatre.expect("accept", "matched", PERSON)
    theatre.leave()

    theatre.act("Another stranger walks up")
    stage.enter("hopper", 2)
    theatre.expect("unknown", "no_match", None)
    theatre.leave()

    theatre.act("The first person is suspended and comes again")
    theatre.command("suspend", PERSON)
    stage.enter("collins", 3)
    theatre.expect("reject", "suspended", PERSON)

    theatre.act("She is revoked while she waits")
    theatre.command("revoke", PERSON)
    theatre.expect("unknown", "no_match", None)
    theatre.leave()
