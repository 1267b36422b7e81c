"""A lasting connection to the gates of a site: it asks, and hears, over as many losses of the broker as there are."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from daemon.client.asked import AGAIN_S, Answer, Asked
from daemon.client.broker import DENIED, NOBODY, Address, advice, log_in, paho_client, refusal
from daemon.client.failures import NO_ANSWER, ClientError
from daemon.client.keys import FORGED, Gates, Signer
from daemon.client.room import Room
from daemon.client.said import LONGEST, GateStatus, LinkState, Odd, Said, place, read
from daemon.client.seen import Seen
from daemon.client.target import Target
from daemon.core import messages as m

TURN_S = 0.2
KEEPALIVE_S = 15
MOST_GATES = 1000
"""Whoever may write to the topics of gates can invent some; no more than this are listened to."""
WAITING_BYTES = 16 << 20
"""What the link's thread has not looked at yet. With more, the broker has to wait."""
_OVERHEAD_BYTES = 1 << 10


@dataclass(slots=True, eq=False)
class _Waiting:
    asked: Asked
    messages: list[tuple[str, bytes]]
    future: "Future[list[Answer]]"
    timeout_s: float
    begun_s: float
    tried: int = 0
    """How many of `messages` have been published over this connection."""
    denied: list[ReasonCode] = field(default_factory=list)
    forged: bool = False


@dataclass(frozen=True, slots=True)
class _Publish:
    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None
    future: "Future[None]"


class Link:
    """Connected for the length of a `with`, in the background and again and again. Any thread may call it.

    `hear` gets everything that was said, on the link's own thread; it must be quick, and must not raise. With `gates` that have keys only
    what they signed counts. Raises ClientError for a login that cannot be used.
    """

    def __init__(
        self, target: Target, *, program: str, signer: Signer | None, gates: Gates, hear: Callable[[Said], None] | None = None,
        decisions: bool = False, visitors: bool = False,
    ) -> None:  # fmt: skip
        every = replace(target, gate="all")
        self.target, self._signer, self._gates, self._hear = every, signer, gates, hear or (lambda said: None)
        optional = [*(["decision", "gap"] if decisions else []), *(["visitor/+"] if visitors else [])]
        self._required = [every.topic(leaf) for leaf in ("status", "result")]
        self._topics = [*self._required, *(every.topic(leaf) for leaf in optional)]
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = Room(WAITING_BYTES)
        self._waiting: list[_Waiting] = []
        self._published: dict[int, _Waiting | _Publish] = {}
        self._statuses: dict[str, Seen] = {}
        self._is_over = False
        self._state = LinkState(False, "the broker has not answered yet", "wait a moment")
        self._step: Literal["begun", "refused", "up"] = "begun"  # how far this connection has come; the network thread's alone
        self._client = paho_client(target.address, program)
        log_in(self._client, target.address)
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def __enter__(self) -> "Link":
        client, address = self._client, self.target.address
        put = self._events.put
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: put(_unreachable(address))
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = lambda client, userdata, mid, reason, properties: put((mid, reason))
        client.on_message = self._on_message
        longest = None
        if address.protocol == "5":
            longest = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            longest.MaximumPacketSize = max(LONGEST.values()) + (64 << 10)
        client.connect_async(address.host, address.port, keepalive=KEEPALIVE_S, properties=longest)
        client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._room.close()
        self._client.on_disconnect = None  # this end is no loss
        self._client.disconnect()
        self._client.loop_stop()
        self._events.put(None)
        self._thread.join()

    @property
    def state(self) -> LinkState:
        return self._state

    def statuses(self) -> dict[str, Seen]:
        """What each gate last said of itself, by its name."""
        return dict(self._statuses)

    def ask(self, command: m.Command, gate: str | None = None, timeout_s: float = 10.0) -> "Future[list[Answer]]":
        """Send a command to a gate, or to all, and get the answer of each one that is online. Not later than `timeout_s` (a capture's own
        time is added) the future has them, or a ClientError; what came until then is in its `answers`.

        The command is published again after a loss of the connection. To ask once more with the same command is harmless: the gates carry
        it out once and give the same answer.
        """
        future: Future[list[Answer]] = Future()
        asked = Asked(command, replace(self.target, gate=gate or "all"))
        try:
            messages = asked.messages(self._signer)
        except ClientError as error:
            future.set_exception(error)
            return future
        self._put(_Waiting(asked, messages, future, timeout_s + asked.capture_s, time.monotonic()))
        return future

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> "Future[None]":
        """Publish at QoS 1. The future is done when the broker has it; it has a ClientError if the broker refuses it or is not there."""
        one = _Publish(topic, payload, retain, expiry_s, Future())
        self._put(one)
        return one.future

    def _put(self, one: "_Waiting | _Publish") -> None:
        """Hand it to the link's thread. Whoever asks while it ends is answered by it or here."""
        self._events.put(one)
        if self._is_over:
            _fail(one.future, _closed())

    # ---- on the link's thread

    def _run(self) -> None:
        while True:
            try:
                event = self._events.get(timeout=TURN_S)
            except queue.Empty:
                event = ()
            match event:
                case None:
                    break
                case LinkState():
                    self._now(event)
                case _Waiting():
                    self._waiting.append(event)
                    self._try(event)
                case _Publish():
                    self._say(event)
                case paho.MQTTMessage():
                    self._heard(event.topic, bytes(event.payload))
                    self._room.give(_size(event))
                case (int(mid), ReasonCode() as reason):
                    self._on_answered(self._published.pop(mid, None), reason)
            self._tend(time.monotonic())
        self._is_over = True
        late = []
        while not self._events.empty():
            late.append(self._events.get())
        for one in (*self._waiting, *self._published.values(), *late):
            if isinstance(one, _Waiting | _Publish):
                _fail(one.future, _closed())

    def _now(self, state: LinkState) -> None:
        self._state = state
        if not state.connected:
            lost = [one for one in self._published.values() if isinstance(one, _Publish)]
            self._published.clear()
            for one in lost:
                _fail(one.future, _unsent(state))
        self._hear(state)
        for waiting in self._waiting if state.connected else ():
            waiting.tried, waiting.denied = 0, []
            self._try(waiting)

    def _try(self, one: _Waiting) -> None:
        """Publish the command on the next of its topics."""
        if self._state.connected and one.tried < len(one.messages):
            topic, payload = one.messages[one.tried]
            one.tried += 1
            self._published[self._client.publish(topic, payload, qos=1).mid] = one

    def _say(self, one: _Publish) -> None:
        if not self._state.connected:
            _fail(one.future, _unsent(self._state))
            return
        properties = None
        if one.expiry_s is not None and self.target.address.protocol == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = one.expiry_s
        sent = self._client.publish(one.topic, one.payload, qos=1, retain=one.retain, properties=properties)
        self._published[sent.mid] = one

    def _on_answered(self, one: _Waiting | _Publish | None, reason: ReasonCode) -> None:
        """The broker took what was published, or refused it."""
        if isinstance(one, _Publish):
            if reason.is_failure:
                _fail(one.future, refusal(self.target.address, one.topic, reason))
            else:
                _settle(one.future, None)
        elif isinstance(one, _Waiting) and one in self._waiting:
            one.denied += [reason] if reason.is_failure else []
            if reason.value in (NOBODY, DENIED):
                self._try(one)
            if reason.is_failure and len(one.denied) == len(one.messages):
                self._end(one, refusal(self.target.address, one.messages[0][0], reason))

    def _heard(self, topic: str, payload: bytes) -> None:
        where = place(topic)
        if where is None:
            self._hear(Odd(topic, "no gate has such a name, or such a topic"))
            return
        gate, leaf = where
        cleared = not payload and leaf in ("status", "visitor")  # an empty message cannot be signed
        if not cleared and not self._gates.said(topic, payload):
            for one in self._waiting:
                one.forged = True
            self._hear(Odd(topic, f"a message {FORGED}"))
            return
        said = read(topic, payload)
        if isinstance(said, GateStatus):
            if gate not in self._statuses and len(self._statuses) >= MOST_GATES:
                said = Odd(topic, f"a status of one gate more than {MOST_GATES:,}")
            elif said.seen is None:
                self._statuses.pop(gate, None)
            else:
                self._statuses[gate] = said.seen
        if leaf == "result" and len(payload) <= LONGEST[leaf]:
            self._answer(gate, payload)
        self._hear(said)

    def _answer(self, gate: str, payload: bytes) -> None:
        now_s = time.monotonic()
        for one in list(self._waiting):
            try:
                heard = one.asked.hear(gate, payload, (now_s - one.begun_s) * 1000)
            except ClientError as error:
                self._end(one, error)
            else:
                if heard and one.asked.is_answered(self._online()):
                    self._conclude(one)

    def _tend(self, now_s: float) -> None:
        """Try the wider topic where the narrow one brings nothing, and end what has waited long enough."""
        for one in list(self._waiting):
            waited_s = now_s - one.begun_s
            if waited_s >= AGAIN_S and one.tried == 1:
                self._try(one)
            if waited_s < one.timeout_s:
                continue
            if not one.asked.answers and not self._state.connected:
                self._end(one, _unsent(self._state))
            else:
                self._conclude(one)

    def _conclude(self, one: _Waiting) -> None:
        """No more answers are waited for."""
        online = self._online()
        complete = one.asked.answers and not one.asked.missing(online)
        self._end(one, None if complete else one.asked.failure(one.timeout_s, online, forged=one.forged))

    def _end(self, one: _Waiting, error: ClientError | None) -> None:
        self._waiting.remove(one)
        if error is not None:
            _fail(one.future, error)
        else:
            _settle(one.future, one.asked.sorted_answers())

    def _online(self) -> dict[str, bool]:
        return {name: seen.online for name, seen in self._statuses.items()}

    # ---- on the network thread

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        self._room.take(_size(message))
        self._events.put(message)

    def _on_connect(self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object) -> None:
        if reason.is_failure:
            self._step = "refused"
            address = self.target.address
            trouble = f"the broker at {address.host}:{address.port} refused the connection: {reason}"
            self._events.put(LinkState(False, trouble, advice(str(reason), "connection")))
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: object) -> None:
        refused = [f"{t}: {r}" for t, r in zip(self._required, reasons, strict=False) if r.is_failure]
        self._step = "refused" if refused else "up"
        trouble = f"the broker refused the subscription: {'; '.join(refused)}"
        self._events.put(LinkState(False, trouble, advice("", "subscription")) if refused else LinkState(True))

    def _on_disconnect(self, client: paho.Client, userdata: object, flags: Any, reason: ReasonCode, properties: object) -> None:
        step, self._step = self._step, "begun"
        if step == "begun" and not flags.is_disconnect_packet_from_server:
            self._events.put(_silent(self.target.address))
        elif step != "refused":  # a refusal says more than the end of its connection
            self._events.put(_lost(reason, flags))


def _size(message: paho.MQTTMessage) -> int:
    return len(message.payload) + _OVERHEAD_BYTES


def _unreachable(address: Address) -> LinkState:
    hint = "check host, port and the TLS settings, and that the broker runs"
    return LinkState(False, f"the broker at {address.host}:{address.port} cannot be reached", hint)


def _silent(address: Address) -> LinkState:
    hint = "check that it is an MQTT broker, and whether it wants TLS (ca_file) or a certificate (cert_file, key_file)"
    return LinkState(False, f"{address.host}:{address.port} takes connections but does not answer", hint)


def _lost(reason: ReasonCode, flags: Any) -> LinkState:
    by_broker = flags.is_disconnect_packet_from_server
    return LinkState(False, f"the broker ended the connection: {reason}" if by_broker else "the connection was lost", "it is tried again")


def _unsent(state: LinkState) -> ClientError:
    return ClientError(NO_ANSWER, state.trouble or "the broker is not there", state.hint or "try again")


def _closed() -> ClientError:
    return ClientError(NO_ANSWER, "the connection was closed", "ask again")


def _settle(future: "Future[Any]", value: object) -> None:
    with suppress(InvalidStateError):  # whoever asked has given up
        future.set_result(value)


def _fail(future: "Future[Any]", error: ClientError) -> None:
    with suppress(InvalidStateError):
        future.set_exception(error)
