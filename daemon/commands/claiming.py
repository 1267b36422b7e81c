"""Claims on their way from command to gate: whether the gate takes one, and for how long. They live in memory: a restart forgets them."""

from daemon.commands.answers import Answer
from daemon.commands.desk import Claiming, Desk, Refusal
from daemon.core.messages import utc
from daemon.core.passages.claims import Mode, seconds_left
from daemon.core.passages.gatekeeper import Gatekeeper


def claim(
    claiming: Claiming, desk: Desk, keeper: Gatekeeper, *,
    mode: Mode, pair: float | None, shared: bool, camera_up: bool, now_s: float, now: float,
) -> Answer:  # fmt: skip
    """Let a claim stand at a gate, or the answer why not.

    It stands only once its answer is stored, and so once, however often the command is delivered. `pair` is the threshold for claims with
    the model that serves, `shared` tells a command for every gate of the site; `now_s` is of the clock of the frames, `now` UTC seconds.
    """
    command, gate, left_s = claiming.command, keeper.gate, 0.0

    def admit() -> str:
        nonlocal left_s
        if shared:
            raise Refusal("not_for_all", "a claim is for one gate: send it on that gate's own command topic")
        if mode == "identify":
            raise Refusal("no_claims", f"gate {gate} only identifies; set gates.{gate}.mode to verify or both")
        if pair is None:
            raise Refusal("threshold_unresolved", f"gate {gate} has no threshold for decision.target_fmr, so it can verify nobody")
        if not camera_up:
            raise Refusal("no_camera", "the gate's camera shows nothing at present; see its status")
        here = desk.time(now)
        left_s = seconds_left(command.seconds, command.issued_at.timestamp(), here)
        if left_s == 0:
            issued = utc(command.issued_at.timestamp())
            detail = f"a claim of {command.seconds:g} s, issued at {issued}, is over: it is {utc(here)} here; check both clocks"
            raise Refusal("expired", detail)
        return f"until {utc(now + left_s)}"

    answer = desk.claim(claiming, admit, now)
    if left_s > 0 and answer.durable and answer.result.status == "done":
        keeper.claims.present(command.person, now_s, now_s + left_s)
    return answer
