"""The composition root: the only place that builds, connects and closes the edges."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from daemon.commands.authority import Key
from daemon.commands.desk import Desk
from daemon.config import Config, ConfigError, GateConfig, exposed_passwords, is_loopback
from daemon.core import signing
from daemon.core.faces.quality import Judge
from daemon.core.faces.visibility import Sees, VisibilityError
from daemon.core.messages import encode, offline_status, topic
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.people.photo_wire import PhotoSettings
from daemon.core.region import region
from daemon.core.status import Word, offline
from daemon.core.values import Outgoing
from daemon.edges import clock, systemd
from daemon.edges.camera import open_camera
from daemon.edges.detector import DetectorError, open_detector
from daemon.edges.embedder import EmbedderError
from daemon.edges.journal import fields
from daemon.edges.metrics import Exporter, Metrics
from daemon.edges.mqtt import Lanes, MqttLink, client_id
from daemon.edges.sandbox import Sandbox, SandboxError
from daemon.edges.store import Store, StoreError, new_tag
from daemon.edges.visibility import open_visibility
from daemon.pipeline import steps
from daemon.pipeline.model import Model
from daemon.pipeline.opening import bundles, liveness_model, load_gallery, open_gallery, open_model, policy
from daemon.pipeline.serving import Current, Serving
from daemon.serving.ages import Ages
from daemon.serving.announced import shared
from daemon.serving.disk import Room
from daemon.serving.engine import Engine, EngineFailed
from daemon.serving.flight import Flight
from daemon.serving.former_gates import FormerGates
from daemon.serving.gate_state import Gate
from daemon.serving.gate_worker import GateWorker
from daemon.serving.home_assistant import HomeAssistant
from daemon.serving.mailbox import Mailbox
from daemon.serving.recorders import Recorders, open_recorders
from daemon.serving.roster import open_roster
from daemon.serving.signature import Sign, box_key, signer
from daemon.version import version

log = logging.getLogger("ostiary")

TURN_S = 0.25
LAST_WORDS_S = 1.5
SANDBOX_AFTER_S = 10.0
"""So long after the start the process for photos gets ready, unless a photo comes before. It takes a second of CPU, and whoever stands at
the gate when it starts comes first."""


def run(config: Config, until_end: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, or, with `until_end`, until every recorded source has been seen to its end."""
    if (exposed := exposed_passwords(config)) is not None:
        log.warning("%s", exposed)
    stop = threading.Event()
    with ExitStack() as stack:
        engine, links, workers, sign, aside, others = _build(config, stack)
        if until_end and any(worker.live for worker in workers):
            raise ConfigError("--until-end: a live camera has no end", "give every gate a video file or a folder of pictures")

        def on_signal(number: int, _: object) -> None:
            log.info("%s: stopping", signal.Signals(number).name)
            stop.set()
            engine.mailbox.wake.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        signal.signal(signal.SIGHUP, _on_hangup)
        for link in links.values():
            link.start()
        for other in others:
            other.start()
        if until_end:
            # Connect first: a short recording must not be over before anybody can hear of it.
            _turn_while(engine, lambda: not stop.is_set() and not all(link.ready for link in links.values()), 10.0)
        for worker in workers:
            worker.start()
        systemd.ready()
        log.info("serving gates %s of site %s", ", ".join(config.gates), config.site)
        for name in config.gates:
            if (shares := shared(config, name)) is not None:
                log.info("gate %s: %s", name, shares, extra=fields(gate=name))
        try:
            while not stop.is_set() and not (until_end and engine.idle()):
                engine.turn(TURN_S)
                for one in aside:
                    one.tend()
                systemd.alive()
            if until_end and not stop.is_set():
                engine.finish()
                _turn_while(engine, lambda: not stop.is_set() and not engine.delivered(), 5.0)
        except (EmbedderError, DetectorError, VisibilityError) as error:
            # The models worked at the start, so the configuration is right: a fault of the GPU or of memory, which a new process heals.
            raise EngineFailed(error.message) from error
        finally:
            systemd.stopping()
            _stop(engine, links, workers, config, sign, others)


def _on_hangup(number: int, _: object) -> None:
    log.warning("SIGHUP is ignored: the configuration is read at the start only; restart the daemon to change it")


def _turn_while(engine: Engine, holds: Callable[[], bool], longest_s: float) -> None:
    deadline = time.monotonic() + longest_s
    while holds() and time.monotonic() < deadline:
        engine.turn(0.05)
        systemd.alive()


def _stop(
    engine: Engine, links: dict[str, Lanes], workers: list[GateWorker], config: Config, sign: Sign, others: Sequence[MqttLink]
) -> None:
    """End everything within 5 seconds, also with a hanging camera or a frozen broker."""
    for worker in workers:
        worker.ask_to_stop()
    deadline = time.monotonic() + LAST_WORDS_S
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    engine.finish()
    partings = []
    for name, link in links.items():  # all at the same time: each may wait for a broker that does not answer
        status = engine.gates[name].status
        to = topic(config.site, name, "status")
        farewell = Outgoing(0, to, sign(to, encode(offline(status))), retain=True) if status is not None else None
        partings.append(threading.Thread(target=link.stop, args=(farewell, LAST_WORDS_S)))
        partings[-1].start()
    for one in others:
        partings.append(threading.Thread(target=one.stop, args=(None, LAST_WORDS_S)))
        partings[-1].start()
    for parting in partings:
        parting.join()
    engine.settle()


def _build(
    config: Config, stack: ExitStack
) -> tuple[Engine, dict[str, Lanes], list[GateWorker], Sign, tuple[FormerGates, HomeAssistant], Sequence[MqttLink]]:
    """The engine and what it needs. The last are connections beside those of the gates."""
    models = {model.id: model for model in (open_model(config, path) for path in bundles(config))}
    liveness = liveness_model(config)
    if liveness is not None:
        log.info("liveness model %s", liveness.id)
    sees = open_visibility()
    store = open_gallery(config)
    stack.callback(store.close)
    current = _current(config, store, models)
    stack.callback(lambda: current.serving.gallery.close())  # whichever gallery serves by then
    model = current.serving.model
    metrics = Metrics()
    exporter = Exporter(partial(metrics.serve, config.metrics.host, config.metrics.port))
    if config.metrics.port:
        stack.callback(exporter.close)
        exporter.trouble()  # the first try; the engine goes on if it has to wait
    metrics.info(version(), model.id, model.provider)
    desk = Desk(
        store,
        current,
        grants=frozenset(config.commands.grants),
        schedules=frozenset(config.schedules),
        gates=frozenset((*config.gates, *config.other_gates)),
        keys=_keys(config),
        confirm=config.enrolment.confirm == "capture",
    )
    key = box_key(store)
    sign = signer(key)
    ages = Ages(time.monotonic, time.time, clock.synchronised, store.counted_time())
    recorders = open_recorders(config, store, metrics, ages.now)
    stack.callback(recorders.close)
    mailbox = Mailbox(len(config.gates))
    tag = _client_tag(store)
    links = _links(config, tag, mailbox, sign)
    ids = partial(client_id, config.site, tag=tag)
    former = FormerGates(config, store, ids, sign)
    gates, workers = {}, []
    for name, gate in config.gates.items():
        keeper = Gatekeeper(name, current.serving.rules(gate.mode, name), config.at(name).decision.lost_s)
        gates[name] = Gate(keeper, links[name], stale_s=gate.stale_s, mode=gate.mode)
        workers.append(_worker(config, name, gate, stack, mailbox, metrics, recorders, sees=sees, liveness=liveness is not None))
    trusted = clock.synchronised if config.clock.trust == "synchronised" else lambda: True
    flight = Flight(recorders.flight, store.pseudonym)
    sandbox = _sandbox(config)
    roster = None
    if config.roster.name:
        roster = open_roster(
            config, store, current, models, key, metrics, tag=tag, wake=mailbox.wake.set, views_wait=mailbox.views_wait
        )  # fmt: skip
    engine = Engine(
        config, store, current, desk, gates, mailbox, metrics, models, sandbox.crops, version(), _standing(config, store),
        clock_trusted=trusted, flight=flight, unrecorded=recorders.trouble, liveness=liveness, synchronised=clock.synchronised,
        sign=sign, public_key=signing.public_text(key), unserved=exporter.trouble if config.metrics.port else lambda: None,
        low=Room(Path(config.state_dir), metrics, time.monotonic).low, tell=systemd.status, ages=ages,
        roster=roster[0] if roster is not None else None,
    )  # fmt: skip
    stack.callback(engine.close)
    stack.callback(sandbox.close)  # first: nothing that goes on aside waits for it
    early = threading.Timer(SANDBOX_AFTER_S, _prepare, (sandbox,))
    early.daemon = True
    stack.callback(early.cancel)
    early.start()
    home = HomeAssistant(config, store, ids, version(), lambda gate: gates[gate].connections)
    return engine, links, workers, sign, (former, home), () if roster is None else (roster[1],)


def _prepare(sandbox: Sandbox) -> None:
    """Start the process for photos before somebody waits for it."""
    try:
        sandbox.start()
    except SandboxError as error:  # whoever sends the first photo is told
        log.warning("%s; %s", error.message, error.hint)


def _keys(config: Config) -> dict[str, Key]:
    return {
        name: Key(signing.public_key(key.public), frozenset(key.ops), key.gates, frozenset(key.grants), key.rate)
        for name, key in config.commands.keys.items()
    }


def _sandbox(config: Config) -> Sandbox:
    limits = steps.limits(config, config.enrolment.min_face_px)
    return Sandbox(PhotoSettings(config.detector.kind, config.detector.min_face_px, limits))


def _current(config: Config, store: Store, models: dict[str, Model]) -> Current:
    """The model that the store notes, or else the first, with its gallery and everybody's record."""
    noted = store.serving()
    model = models[noted] if noted in models else next(iter(models.values()))
    log.info("model %s on %s", model.id, model.provider, extra=fields(model=model.id, provider=model.provider))
    if model.fell_back:
        log.warning("the GPU is not used: %s", model.fell_back)
    if noted != model.id:
        # Noted so that it goes on serving when the configuration calls it `next`. If the disk takes no writes, the gate itself will say so.
        with suppress(StoreError), store.transaction():
            store.put_serving(model.id)
    gallery, people, left_out = load_gallery(store, model)
    return Current(Serving(model, gallery, policy(config), left_out), people)


def _standing(config: Config, store: Store) -> dict[Word, str]:
    """The reasons that only a restart ends."""
    found = {}
    if damage := store.damage():
        found[Word.STORE_DAMAGED] = str(damage)
    if not config.commands.keys and not is_loopback(config.mqtt.host):
        found[Word.UNSIGNED_COMMANDS] = config.mqtt.host
    return found


def _links(config: Config, tag: str, mailbox: Mailbox, sign: Sign) -> dict[str, Lanes]:
    return {
        name: Lanes(
            (mqtt := config.mqtt.of(name)),
            site=config.site,
            gate=name,
            client_id=client_id(config.site, name, tag),
            password=mqtt.password(),
            offline=sign(topic(config.site, name, "status"), encode(offline_status(version()))),
            deliver=mailbox.deliver,
        )
        for name in config.gates
    }


def _client_tag(store: Store) -> str:
    """What makes the client ids of this box its own. While the disk takes nothing it is another one at each start, and the broker keeps no
    commands over a restart."""
    try:
        return store.client_tag()
    except StoreError:
        return new_tag()


def _worker(
    config: Config, name: str, gate: GateConfig, stack: ExitStack, mailbox: Mailbox, metrics: Metrics, recorders: Recorders, *,
    sees: Sees, liveness: bool,
) -> GateWorker:  # fmt: skip
    camera = open_camera(name, gate, start_s=time.monotonic(), start_wall=time.time(), paced=True)
    stack.callback(camera.close)
    here = config.at(name)
    detector = open_detector(here.detector.kind, here.detector.min_face_px)
    return GateWorker(
        name,
        camera,
        detector.attention(),
        detector,
        Judge(steps.limits(here, here.detector.min_face_px), sees),
        mailbox.offer,
        mailbox.tell,
        metrics,
        recorders.record,
        region=region(gate.region),
        liveness=liveness,
        portraits_px=here.enrolment.min_face_px if here.decision.share_unknown else None,
    )
