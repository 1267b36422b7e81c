"""The composition root: the only place that builds, connects and closes the edges."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from daemon.commands.desk import Desk
from daemon.config import Config, ConfigError, read_secret, read_site_calibration
from daemon.core.bundle import BundleError, Card, bundle_id, check_golden, read_card
from daemon.core.messages import encode, offline_status, topic
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.people.enrol import Standards
from daemon.core.status import offline, other_model
from daemon.core.tapes.tape import TapeError
from daemon.core.values import Outgoing, Person
from daemon.edges import clock, systemd
from daemon.edges.camera import CameraError, open_camera
from daemon.edges.detector import DetectorError, open_detector
from daemon.edges.embedder import EmbedderError, open_embedder
from daemon.edges.gallery import Gallery, VectorError
from daemon.edges.liveness import LivenessError, LivenessModel, open_liveness
from daemon.edges.metrics import Metrics, MetricsError
from daemon.edges.mqtt import MqttLink
from daemon.edges.store import Store, StoreError, VaultError, gallery_file, open_store
from daemon.pipeline import steps
from daemon.pipeline.model import Model, Raised
from daemon.serving.engine import Engine, EngineFailed, Gate
from daemon.serving.flight import Flight
from daemon.serving.gate_worker import GateWorker
from daemon.serving.mailbox import Mailbox
from daemon.serving.recorders import open_recorders, recording_room

log = logging.getLogger("ostiary")

DEFAULT_BUNDLE = Path(__file__).parents[1] / "models" / "faces.onnx"
TURN_S = 0.25
LAST_WORDS_S = 1.5
LIKENESS_FMR = 0.01
"""Two photos of one person must be at least as alike as one pair of strangers in a hundred."""
KNOWN_FMR = 0.001
"""A photo for somebody's record must be as like the nearest template there as one pair of strangers in a thousand."""
SAME_FMR = 0.0001
"""Two people more alike than all but one pair of strangers in ten thousand are taken for one."""

Unusable = (ConfigError, BundleError, EmbedderError, DetectorError, LivenessError, CameraError, MetricsError, TapeError, VaultError)
"""What no restart mends: one line, a hint, exit 78."""


def version() -> str:
    """The installed version of the distribution."""
    try:
        return installed_version("ostiary")
    except PackageNotFoundError:
        return "unknown"


def open_model(config: Config, path: Path | None = None) -> Model:
    """Load a bundle (`model.bundle`, unless another is given) on the provider asked for, and check it against its own golden vectors.

    Raises BundleError, EmbedderError, and ConfigError for a site calibration that cannot be read.
    """
    path = path if path is not None else bundles(config)[0]
    embedder = open_embedder(path, config.model.provider, config.model.threads)
    card = read_card(embedder.session)
    check_golden(card, embedder.embed)
    embedder.warm_up()
    ident, calibration = bundle_id(path), card.calibration
    site = config.decision.site_calibration
    thresholds = Raised(calibration, read_site_calibration(site).get(ident)) if site else calibration
    return Model(ident, embedder, embedder.provider, card.dimension, thresholds, standards(card, config.enrolment.max_templates))


def liveness_model(config: Config) -> LivenessModel | None:
    """The configured liveness model, None where there is none. Raises LivenessError."""
    return open_liveness(Path(config.liveness.model)) if config.liveness.model else None


def bundles(config: Config) -> list[Path]:
    """The configured bundles: `model.bundle`, and `model.next` where there is one."""
    first = Path(config.model.bundle) if config.model.bundle else DEFAULT_BUNDLE
    return [first, Path(config.model.next)] if config.model.next else [first]


def serving_bundle(config: Config, store: Store) -> Path:
    """Which of the configured bundles serves: the one that the store notes; `model.bundle` where it notes neither. Raises BundleError."""
    paths, noted = bundles(config), store.serving()
    return next((path for path in paths if bundle_id(path) == noted), paths[0])


def open_gallery(config: Config, read_only: bool = False) -> Store:
    """The store of a configuration, opened with its key. Raises StoreError, VaultError."""
    return open_store(Path(config.state_dir), read_only, key_file(config))


def key_file(config: Config) -> Path | None:
    """The file the configuration names for the key, if it names one."""
    return Path(config.store.key_file) if config.store.key_file else None


def load_gallery(store: Store, model: Model) -> tuple[Gallery, dict[str, Person], int]:
    """The gallery of what this model made, everybody's record, and how many templates it has no vector of, which are left out.

    What does not open is left out too, and `store.damage()` says so. Raises StoreError for a vector that opens and cannot be one.
    """
    gallery, people = Gallery(model.dimension), {p.person: p for p in store.people()}
    for template in store.vectors(model.id):
        try:
            gallery.add(template.number, template.person, template.vector)
        except VectorError as error:
            message = f"template {template.number} of {template.person} is damaged: {error}"
            raise StoreError(message, "restore state_dir from a backup, or move it away and enrol anew") from error
    damaged = set(store.damage().templates)
    owners = ((number, person) for number, person in store.owners().items() if number not in damaged)
    return gallery, people, sum(person in people for _, person in owners) - gallery.templates


def open_serving(config: Config, path: Path | None = None) -> tuple[Model, Gallery, dict[str, Person]]:
    """What a daemon of this configuration serves with, read only: the model (another bundle, if a path is given), gallery and people.

    Raises StoreError, VaultError and what `open_model` raises.
    """
    store = open_gallery(config, read_only=True)
    try:
        model = open_model(config, path if path is not None else serving_bundle(config, store))
        gallery, people, _ = load_gallery(store, model)
    finally:
        store.close()
    return model, gallery, people


def standards(card: Card, max_templates: int) -> Standards:
    """What enrolments are held to, from the card's thresholds: the one of the wanted rate, or of the strictest rate the card can say.

    Never of a looser rate than LIKENESS_FMR: what cannot be told so well is not told at all.
    """
    at = card.calibration.pair_threshold
    return Standards(alike=at(LIKENESS_FMR), known=at(KNOWN_FMR), same=at(SAME_FMR), max_templates=max_templates)


def run(config: Config, until_end: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, or, with `until_end`, until every recorded source has been seen to its end."""
    stop = threading.Event()
    with ExitStack() as stack:
        engine, links, workers = _build(config, stack)
        if until_end and any(worker.live for worker in workers):
            raise ConfigError("--until-end: a live camera has no end", "give every gate a video file or a folder of pictures")

        def on_signal(number: int, _: object) -> None:
            log.info("%s: stopping", signal.Signals(number).name)
            stop.set()
            engine.mailbox.wake.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        for link in links.values():
            link.start()
        if until_end:
            # A recording must not be over before anybody could hear of it.
            _turn_while(engine, lambda: not stop.is_set() and not all(link.connected for link in links.values()), 10.0)
        for worker in workers:
            worker.start()
        systemd.ready()
        log.info("serving gates %s of site %s", ", ".join(config.gates), config.site)
        try:
            while not stop.is_set() and not (until_end and engine.idle()):
                engine.turn(TURN_S)
                systemd.alive()
            if until_end and not stop.is_set():
                engine.finish()
                _turn_while(engine, lambda: not stop.is_set() and not engine.delivered(), 5.0)
        except EmbedderError as error:
            # The model worked at the start, so the configuration is right: a GPU fault, and only a new process heals it.
            raise EngineFailed(error.message) from error
        finally:
            systemd.stopping()
            _stop(engine, links, workers, config)


def _turn_while(engine: Engine, holds: Callable[[], bool], longest_s: float) -> None:
    deadline = time.monotonic() + longest_s
    while holds() and time.monotonic() < deadline:
        engine.turn(0.05)
        systemd.alive()


def _stop(engine: Engine, links: dict[str, MqttLink], workers: list[GateWorker], config: Config) -> None:
    """Everything ends within 5 seconds, also with a hanging camera or a frozen broker."""
    for worker in workers:
        worker.ask_to_stop()
    deadline = time.monotonic() + LAST_WORDS_S
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    engine.finish()
    deadline = time.monotonic() + LAST_WORDS_S
    for name, link in links.items():
        status = engine.gates[name].status
        farewell = Outgoing(0, topic(config.site, name, "status"), encode(offline(status)), retain=True) if status is not None else None
        link.stop(farewell, max(0.1, deadline - time.monotonic()))
    engine.settle()


def _build(config: Config, stack: ExitStack) -> tuple[Engine, dict[str, MqttLink], list[GateWorker]]:
    models = {model.id: model for model in (open_model(config, path) for path in bundles(config))}
    liveness = liveness_model(config)
    if liveness is not None:
        log.info("liveness model %s", liveness.id)
    store = open_gallery(config)
    stack.callback(store.close)
    noted = store.serving()
    model = models[noted] if noted in models else next(iter(models.values()))
    log.info("model %s on %s", model.id, model.provider)
    if noted != model.id:
        # So that it goes on serving when the configuration calls it `next`. A disk that takes no writes is told of by the gate itself.
        with suppress(StoreError), store.transaction():
            store.put_serving(model.id)
    gallery, people, left_out = load_gallery(store, model)
    if left_out:
        log.warning("%s", other_model(left_out))
    damage = store.damage()
    if damage:
        log.error("the store is damaged: %s", damage)
    metrics = Metrics()
    if config.metrics.port:
        stack.callback(metrics.serve(config.metrics.host, config.metrics.port).close)
    metrics.info(version(), model.id, model.provider)
    desk = Desk(
        store=store,
        gallery=gallery,
        people=people,
        embedder=model.embedder,
        detector=open_detector(config.detector.kind, config.detector.min_face_px),
        limits=steps.limits(config, config.enrolment.min_face_px),
        model=model.id,
        standards=model.standards,
        threshold=lambda templates: steps.rules(config, model.calibration, templates).threshold,
        grants=frozenset(config.commands.grants),
        schedules=frozenset(config.schedules),
    )
    stack.callback(lambda: desk.gallery.close())  # whichever gallery serves by then
    recorders = open_recorders(config, store, metrics)
    stack.callback(recorders.close)
    mailbox = Mailbox(len(config.gates))
    password = read_secret(config.mqtt.password_file, "mqtt.password_file") if config.mqtt.password_file else None
    links, gates, workers = {}, {}, []
    for name, gate in config.gates.items():
        links[name] = MqttLink(
            config.mqtt,
            site=config.site,
            gate=name,
            client_id=f"ostiary-{config.site}-{name}",
            password=password,
            offline=encode(offline_status(version())),
            deliver=mailbox.deliver,
        )
        keeper = Gatekeeper(name, steps.rules(config, model.calibration, gallery.templates, gate.mode), config.decision.lost_s)
        gates[name] = Gate(keeper, links[name], stale_s=gate.stale_s, mode=gate.mode)
        camera = open_camera(name, gate, start_s=time.monotonic(), start_wall=time.time(), paced=True)
        stack.callback(camera.close)
        workers.append(
            GateWorker(
                name,
                camera,
                open_detector(config.detector.kind, config.detector.min_face_px),
                steps.limits(config, config.detector.min_face_px),
                mailbox.offer,
                mailbox.tell,
                metrics,
                recorders.record,
                liveness=liveness is not None,
            )
        )
    faults = []
    if damage:
        faults.append(f"store_damaged: {damage}; `ostiaryd check` names them; revoke and enrol these people again, or restore a backup")
    trusted = clock.synchronised if config.clock.trust == "synchronised" else lambda: True
    flight = Flight(recorders.flight, store.pseudonym)
    engine = Engine(
        config, desk, gates, mailbox, metrics, models, version(), tuple(faults), left_out,
        clock_trusted=trusted, flight=flight, unrecorded=recorders.trouble, liveness=liveness,
    )  # fmt: skip
    stack.callback(engine.close)
    return engine, links, workers


def check(config: Config) -> list[tuple[str, bool, str]]:
    """Try every part as `run` would use it, changing nothing: (part, whether it works, what was seen)."""
    findings: list[tuple[str, bool, str]] = []

    def attempt(part: str, look: Callable[[], str]) -> None:
        try:
            findings.append((part, True, look()))
        except (*Unusable, StoreError) as error:
            findings.append((part, False, f"{error.message}; {error.hint}"))

    def model(path: Path) -> str:
        opened = open_model(config, path)
        rules = steps.rules(config, opened.calibration, 1, "both")
        claims = f", for claims {rules.pair}" if any(gate.mode != "identify" for gate in config.gates.values()) else ""
        return f"{opened.id} on {opened.provider}, golden check passed, threshold for one template {rules.threshold}{claims}"

    def detector() -> str:
        open_detector(config.detector.kind, config.detector.min_face_px)
        return config.detector.kind

    def liveness() -> str:
        model = liveness_model(config)
        if model is None:
            return "no model: a picture of somebody may pass"
        return f"{model.id}, layout checked, " + ("required of everybody" if config.liveness.require else "not required")

    def gallery() -> str:
        if not gallery_file(Path(config.state_dir)).exists():
            return f"{config.state_dir}: none yet, it is made at the first start"
        store = open_gallery(config, read_only=True)
        try:
            found = store.integrity()
            if found != "ok":
                raise StoreError(f"{config.state_dir}: damaged: {found}", "restore a backup")
            templates, people, damage = store.templates(), store.people(), store.damage()
            if damage:
                raise StoreError(
                    f"{config.state_dir}: damaged: {damage} (people {', '.join(map(ascii, damage.people)) or 'none'};"
                    f" templates {', '.join(map(str, damage.templates)) or 'none'})",
                    "revoke and enrol these people again, or restore a backup",
                )
            serving = store.serving()
            return f"{len(people)} people, {len(templates)} templates, all open with the key" + (f"; {serving} serves" if serving else "")
        finally:
            store.close()

    def camera(name: str) -> str:
        opened = open_camera(name, config.gates[name], paced=False)
        try:
            frame = opened.read(10.0)
            if frame is None:
                raise CameraError(
                    f"no picture in 10 s ({opened.detail or 'no reason given'})", "is the address right, the camera on, the network there?"
                )
            return f"{frame.image.shape[1]}×{frame.image.shape[0]} pixels"
        finally:
            opened.close()

    def time_service() -> str:
        if config.clock.trust == "always":
            return "trusted without asking (clock.trust)"
        if clock.synchronised():
            return "kept in step by a time service"
        if config.schedules:
            raise ConfigError(
                "no time service keeps the clock in step: people with a schedule or a validity are rejected as clock_untrusted",
                'start one (`timedatectl set-ntp true`), or set clock.trust = "always"',
            )
        return "not kept in step by a time service: who is given a validity or a schedule is rejected as clock_untrusted"

    def broker() -> str:
        first = next(iter(config.gates))
        password = read_secret(config.mqtt.password_file, "mqtt.password_file") if config.mqtt.password_file else None
        heard: list[str] = []
        up = threading.Event()

        def deliver(event: object) -> bool:
            heard.append(str(getattr(event, "detail", "")))
            if getattr(event, "up", False):
                up.set()
            return True

        # A client of its own name, without session or last will: a serving daemon keeps its commands and its status.
        settings = replace(config.mqtt, session_expiry_s=0)
        name = f"ostiary-{config.site}-{first}-check"
        link = MqttLink(settings, site=config.site, gate=first, client_id=name, password=password, offline=None, deliver=deliver)
        link.start()
        try:
            if not up.wait(5.0):
                raise ConfigError(
                    f"{config.mqtt.host}:{config.mqtt.port} does not answer ({heard[-1] if heard else 'no connection'})",
                    "is the broker running, and are user and password right?",
                )
            return f"{config.mqtt.host}:{config.mqtt.port}, commands subscribed"
        finally:
            link.stop(None, 1.0)

    for part, path in zip(("model", "next model"), bundles(config), strict=False):
        attempt(part, lambda path=path: model(path))  # type: ignore[misc]
    attempt("detector", detector)
    attempt("liveness", liveness)
    attempt("gallery", gallery)
    for name in config.gates:
        attempt(f"camera {name}", lambda name=name: camera(name))  # type: ignore[misc]
    attempt("broker", broker)
    attempt("clock", time_service)
    attempt("recording", lambda: recording_room(config))
    return findings
