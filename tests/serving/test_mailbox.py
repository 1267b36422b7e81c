"""Commands that wait: what shuts somebody out first, the gates in turns, and no more than there is room for."""

from daemon.core.messages import topic
from daemon.core.values import Delivery
from daemon.serving.mailbox import COMMAND_BYTES, COMMANDS, Mailbox


def delivery(gate: str, leaf: str, payload: bytes = b"x") -> Delivery:
    return Delivery(gate, topic("hq", gate, leaf), payload, False, (1, 1, 1))


def test_urgent_commands_come_first_and_gates_take_turns() -> None:
    mailbox = Mailbox(2)
    for number in range(3):
        assert mailbox.deliver(delivery("north", "command", b"n%d" % number))
    mailbox.deliver(delivery("south", "command/enrolment", b"s0"))
    mailbox.deliver(delivery("north", "command/revoke", b"revoke"))
    taken = [mailbox.commands.take() for _ in range(6)]
    assert [one.payload for one in taken if one] == [b"revoke", b"n0", b"s0", b"n1", b"n2"]
    assert mailbox.empty()


def test_a_closed_gate_holds_back_everything_but_urgent_commands() -> None:
    mailbox = Mailbox(1)
    mailbox.deliver(delivery("north", "command"))
    assert mailbox.commands.take({"north"}) is None
    assert not mailbox.commands.waiting({"north"})
    mailbox.deliver(delivery("north", "command/revoke", b"revoke"))
    assert mailbox.commands.waiting({"north"})
    taken = mailbox.commands.take({"north"})
    assert taken is not None and taken.payload == b"revoke"


def test_a_full_lane_takes_no_more_and_the_other_lane_and_gate_do() -> None:
    mailbox = Mailbox(2)
    assert [mailbox.deliver(delivery("north", "command")) for _ in range(COMMANDS + 1)] == [True] * COMMANDS + [False]
    assert mailbox.deliver(delivery("north", "command/revoke"))
    assert mailbox.deliver(delivery("south", "command"))
    mailbox.commands.take(), mailbox.commands.take()
    assert mailbox.deliver(delivery("north", "command"))


def test_large_commands_fill_a_lane_sooner_and_one_always_finds_room() -> None:
    mailbox = Mailbox(1)
    assert mailbox.deliver(delivery("north", "command", bytes(COMMAND_BYTES + 1)))
    assert not mailbox.deliver(delivery("north", "command"))
    mailbox.commands.take()
    assert mailbox.deliver(delivery("north", "command"))
