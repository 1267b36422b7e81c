"""A gate's refusals in plain words, for people at a desk: what is so, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.people.enrol import ADVICE


@dataclass(frozen=True, slots=True)
class Words:
    """What is so, and the next step. Both are empty for a word that nobody knows."""

    so: str
    step: str


_ADMIN = "ask the administrator of the gate"
_AGAIN = "send it again"

TABLE: Mapping[str, Words] = {
    **{reason: Words(*advice.split("; ", 1)) for reason, advice in ADVICE.items()},
    "inconsistent": Words(
        "the pictures show several people, or not the person who is enrolled under this id",
        "use pictures of one person only; if the person's face has changed, replace the pictures",
    ),
    "duplicate_of": Words("this face is already enrolled under another id", "look whether it is the same person; enrol nobody twice"),
    "lookalike": Words(
        "the gate could take this person for somebody else who is enrolled",
        "take better pictures, or have an administrator enrol with force",
    ),
    "timeout": Words("the gate's camera has seen too little of the person", "look straight at the camera and stay until the gate answers"),
    "no_camera": Words("the gate's camera gives no pictures now", "see the gate's status; use photos meanwhile"),
    "busy": Words("the gate is already looking at somebody", "wait until that has ended, and start again"),
    "not_for_all": Words("this works at one gate only", "choose one gate; for a capture or a claim, the one at which the person stands"),
    "no_claims": Words("this gate only recognises faces and takes no badges", "the gate's administrator can set its mode to both"),
    "unknown_model": Words("the gate has no such model", "see the gate's status for the model that it has"),
    "model_failed": Words("the other model cannot be used", "nothing was changed; " + _ADMIN),
    "incomplete": Words("some people could not be taken over to the other model", "enrol them again, or use force"),
    "threshold_unresolved": Words(
        "the gate has no threshold for this", "the gate's administrator sets decision.threshold, or calibrates it"
    ),
    "not_granted": Words(
        "the gate does not allow this, or not with this key", "the gate's administrator can grant it, in commands.grants or to the key"
    ),
    "unsigned": Words("the gate takes signed commands only", "give a key: `ostiaryctl keygen` makes one"),
    "unknown_key": Words(
        "the gate does not know the key of this login", "the gate's administrator adds its public half to the configuration"
    ),
    "bad_signature": Words("the gate cannot believe the signature", "compare the key file with the gate's configuration"),
    "not_authorised": Words("this login's key may not ask for that", "the gate's administrator can add it to the key's ops"),
    "wrong_gate": Words(
        "this login's key may not act here, or the person may pass more gates than the key", "choose the key's gates, or " + _ADMIN
    ),
    "wrong_topic": Words("this command may not come on this topic", _ADMIN),
    "too_many": Words("too many commands came in one minute", "wait a minute and send it again"),
    "expired": Words("the command came too late", _AGAIN + "; if that does not help, compare the clocks of both machines"),
    "expires_too_late": Words("the command lasts too long", _AGAIN),
    "from_the_future": Words("the clocks of this machine and the gate differ", "set both clocks by a time service, then send it again"),
    "superseded": Words(
        "a newer command for this person has already been carried out", "look at the record as it is now, then send it again"
    ),
    "retained": Words("the broker had kept the command", _ADMIN),
    "malformed": Words("the gate cannot read the command", "check that the gate has the same version as this program"),
    "too_large": Words("the pictures are too large together", "send fewer or smaller pictures"),
    "unknown_person": Words("nobody is enrolled under this id at this gate", "check the id"),
    "unknown_schedule": Words("this gate has no schedule of that name", "choose one of the gate's schedules"),
    "unknown_gate": Words("this gate does not know all of these gates", "check the names of the gates"),
    "nobody_enrolled": Words("nobody was enrolled under this id", "check that it is the right id"),
    "dry_run": Words("nothing was changed: the gate has only judged the pictures", "ask again without dry_run to enrol"),
    "no_roster": Words("this box shares nobody with other boxes", "ask a box of the fleet"),
    "no_key": Words("this box has no keys of the site yet", "admit the box: `ostiaryctl roster admit`"),
    "keeper": Words("this box is the keeper, so there is no roster that it could read anew", "ask another box of the fleet"),
    "not_durable": Words("the gate's disk takes no writes now", "it is carried out when the disk works again; see the gate's status"),
    "internal": Words("the gate has failed at this", "see the log of the gate, then send it again"),
}
"""Every reason of an answer."""


def words(reason: str | None) -> Words:
    """What people are told about a reason; a reason of a newer gate is told as it is."""
    if reason is None:
        return Words("", "")
    return TABLE.get(reason) or Words(" ".join(reason.split("_")), "see the gate's documentation")
