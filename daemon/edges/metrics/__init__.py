"""The metrics for Prometheus. No label names a person: a metric is not an attendance list."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from daemon.core.passages.claims import End
from daemon.core.status import GATE_STATES, GateState, Word
from daemon.core.timing import Stage
from daemon.core.values import Incident, Quality, Reason, Verdict
from daemon.edges.metrics.server import Exporter, MetricsError, MetricsServer

__all__ = ["METRICS", "Exporter", "Metric", "Metrics", "MetricsError", "MetricsServer"]

GraphWord = Literal["unneeded", "building", "serving", "failed"]

GRAPH_STATES: tuple[GraphWord, ...] = ("unneeded", "building", "serving", "failed")
OPS = frozenset({"enroll", "revoke", "suspend", "resume", "update", "verify", "list", "get", "reembed", "resync", "ping"})
ROSTER_REASONS = ("bad_signature", "malformed", "unknown_writer", "unknown_keeper", "unknown_key", "unreadable", "wrong_person", "replayed")
OTHER = "other"
"""Replaces every unknown label value, so that no sender can create new time series."""

_STAGE_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LATENCY_BUCKETS_S = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 60.0, 600.0)
_MAX_REASONS = 64
_WORD = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table in daemon/README.md."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


METRICS = (
    Metric("ostiary_frames_total", "counter", ("gate",), "Frames taken from the camera and looked at."),
    Metric("ostiary_frames_dropped_total", "counter", ("gate", "reason"), "Frames not looked at, by reason."),
    Metric("ostiary_faces_total", "counter", ("gate", "quality"), "Faces found, by whether they could be scored or why not."),
    Metric("ostiary_faces_spared_total", "counter", ("gate",), "Good faces not embedded: surely still there, or at a closed gate."),
    Metric("ostiary_decisions_total", "counter", ("gate", "decision", "reason"), "Decisions by kind and reason."),
    Metric(
        "ostiary_visitors_total",
        "counter",
        ("gate", "outcome"),
        "Pictures of unknown people: shared, limited (too many at once) or unsent (no broker).",
    ),
    Metric("ostiary_stage_seconds", "histogram", ("stage",), "Time a stage of the line took."),
    Metric("ostiary_capture_to_publish_seconds", "histogram", ("gate",), "From a live frame's capture to the broker's acknowledgement."),
    Metric("ostiary_gallery_people", "gauge", (), "People enrolled."),
    Metric("ostiary_gallery_templates", "gauge", (), "Templates enrolled."),
    Metric("ostiary_gallery_revision", "gauge", (), "Revision of the gallery; every change raises it."),
    Metric(
        "ostiary_graph_state",
        "gauge",
        ("state",),
        "1 for the search graph's state: unneeded, building, serving or failed; only if serving it is used.",
    ),
    Metric("ostiary_graph_recall", "gauge", (), "Share of right answers in the search graph's last audit; NaN before one."),
    Metric("ostiary_threshold", "gauge", ("gate",), "Similarity from which a face is a person; NaN while there is none."),
    Metric("ostiary_commands_total", "counter", ("op", "status", "reason"), "Commands answered, by outcome."),
    Metric("ostiary_commands_unanswered_total", "counter", ("gate",), "Refused messages that got no answer: there were too many."),
    Metric("ostiary_claims_total", "counter", ("gate", "end"), "Claims (badges) by how they ended."),
    Metric("ostiary_two_faces_total", "counter", ("gate",), "People found under whose ids two different faces were accepted."),
    Metric("ostiary_camera_up", "gauge", ("gate",), "1 while the camera shows something new."),
    Metric("ostiary_broker_up", "gauge", ("gate",), "1 while connected to the broker and subscribed."),
    Metric(
        "ostiary_session_incidents_total",
        "counter",
        ("gate", "incident"),
        "Times that another client took the gate's session at the broker, or the broker forgot it.",
    ),
    Metric("ostiary_gate_state", "gauge", ("gate", "state"), "1 for the state the gate is in: serving, degraded or closed."),
    Metric("ostiary_gate_reason", "gauge", ("gate", "reason"), "1 while this is a reason why the gate is not serving, else 0."),
    Metric("ostiary_gate_calibrated", "gauge", ("gate",), "0 while nobody has measured the gate with the serving model."),
    Metric("ostiary_disk_free_bytes", "gauge", (), "Room left on the disk of state_dir; NaN if it cannot be read."),
    Metric("ostiary_recording_bytes", "gauge", (), "What recordings take on the disk."),
    Metric("ostiary_recording_dropped_total", "counter", ("gate",), "Frames looked at that should be on a recording and are not."),
    Metric("ostiary_outbox_depth", "gauge", (), "Messages that wait for the broker."),
    Metric("ostiary_outbox_dropped_total", "counter", ("gate",), "Messages that waited for the broker and were dropped."),
    Metric("ostiary_roster_complete", "gauge", ("box",), "1 while the box knows the whole roster; `box` is its name there."),
    Metric("ostiary_roster_head_age_seconds", "gauge", ("box",), "Since the newest head of the roster was made; NaN if none was heard."),
    Metric("ostiary_roster_records", "gauge", ("box",), "Records of the roster held."),
    Metric("ostiary_roster_waiting", "gauge", ("box",), "Changes made here that the other boxes do not know yet."),
    Metric("ostiary_roster_rejected_total", "counter", ("reason",), "Messages of the roster that count for nothing, by reason."),
    Metric("ostiary_info", "gauge", ("version", "model", "provider"), "Always 1; what runs here."),
    Metric("ostiary_engine_heartbeat_timestamp_seconds", "gauge", (), "When the engine last made a turn of its loop (Unix time)."),
)


class Metrics:
    """All metrics of one daemon, in a registry of their own. Every method may be called from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would be a second time series for each counter
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # process_*: memory, CPU and file handles of the daemon
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._reasons: set[str] = set()
        for metric in METRICS:
            if metric.kind == "counter":
                self._counters[metric.name] = Counter(metric.name, metric.help, metric.labels, registry=self._registry)
            elif metric.kind == "gauge":
                self._gauges[metric.name] = Gauge(metric.name, metric.help, metric.labels, registry=self._registry)
            else:
                buckets = _STAGE_BUCKETS_S if metric.name == "ostiary_stage_seconds" else _LATENCY_BUCKETS_S
                self._histograms[metric.name] = Histogram(metric.name, metric.help, metric.labels, registry=self._registry, buckets=buckets)
        self.graph("unneeded", None)

    def gate(self, name: str) -> None:
        """There is such a gate. Its counters of rare events begin at 0: an alert on an increase would miss the first event otherwise."""
        for metric in METRICS:
            if metric.kind == "counter" and metric.labels == ("gate",):
                self._counters[metric.name].labels(name)
        for incident in get_args(Incident):
            self._counters["ostiary_session_incidents_total"].labels(name, incident)

    def frame(self, gate: str) -> None:
        self._counters["ostiary_frames_total"].labels(gate).inc()

    def dropped(self, gate: str, reason: str, count: int = 1) -> None:
        """So many frames were not looked at. `reason` is a word such as `overrun` or `stale`."""
        self._counters["ostiary_frames_dropped_total"].labels(gate, self._word(reason)).inc(count)

    def face(self, gate: str, quality: Quality) -> None:
        self._counters["ostiary_faces_total"].labels(gate, quality.value).inc()

    def spared(self, gate: str, count: int) -> None:
        """So many good faces of a view were not embedded."""
        self._counters["ostiary_faces_spared_total"].labels(gate).inc(count)

    def decision(self, gate: str, decision: Verdict, reason: Reason) -> None:
        self._counters["ostiary_decisions_total"].labels(gate, decision.value, reason.value).inc()

    def visitor(self, gate: str, outcome: Literal["shared", "limited", "unsent"]) -> None:
        self._counters["ostiary_visitors_total"].labels(gate, outcome).inc()

    def stage(self, name: Stage, seconds: float) -> None:
        self._histograms["ostiary_stage_seconds"].labels(name).observe(seconds)

    def capture_to_publish(self, gate: str, seconds: float) -> None:
        self._histograms["ostiary_capture_to_publish_seconds"].labels(gate).observe(seconds)

    def gallery(self, people: int, templates: int, revision: int) -> None:
        self._gauges["ostiary_gallery_people"].set(people)
        self._gauges["ostiary_gallery_templates"].set(templates)
        self._gauges["ostiary_gallery_revision"].set(revision)

    def graph(self, state: GraphWord, recall: float | None) -> None:
        """How the gallery is searched: exactly, unless the graph is `serving`. `recall` is what the graph's last audit found."""
        for one in GRAPH_STATES:
            self._gauges["ostiary_graph_state"].labels(one).set(one == state)
        self._gauges["ostiary_graph_recall"].set(float("nan") if recall is None else recall)

    def threshold(self, gate: str, similarity: float | None) -> None:
        """The threshold that a gate uses, a cosine: of its search, or of claims if it only verifies; None while it is closed."""
        self._gauges["ostiary_threshold"].labels(gate).set(float("nan") if similarity is None else similarity)

    def command(self, op: str | None, status: Literal["done", "refused", "failed"], reason: str | None) -> None:
        """One answer to a command. `op` is None for a payload that could not be read."""
        known = op if op in OPS else OTHER
        self._counters["ostiary_commands_total"].labels(known, status, "" if reason is None else self._word(reason)).inc()

    def unanswered(self, gate: str) -> None:
        """A refused message got no answer."""
        self._counters["ostiary_commands_unanswered_total"].labels(gate).inc()

    def claim(self, gate: str, end: End) -> None:
        """A claim at a gate has ended."""
        self._counters["ostiary_claims_total"].labels(gate, end).inc()

    def camera(self, gate: str, up: bool) -> None:
        self._gauges["ostiary_camera_up"].labels(gate).set(up)

    def broker(self, gate: str, up: bool) -> None:
        self._gauges["ostiary_broker_up"].labels(gate).set(up)

    def incident(self, gate: str, incident: Incident) -> None:
        """Something happened to a gate's session at the broker."""
        self._counters["ostiary_session_incidents_total"].labels(gate, incident).inc()

    def gate_state(self, gate: str, state: GateState) -> None:
        for one in GATE_STATES:
            self._gauges["ostiary_gate_state"].labels(gate, one).set(one == state)

    def gate_reasons(self, gate: str, words: Collection[Word]) -> None:
        """Why a gate is not serving."""
        for word in Word:
            self._gauges["ostiary_gate_reason"].labels(gate, word.value).set(word in words)

    def two_faces(self, gate: str) -> None:
        """Two different faces were accepted as one person."""
        self._counters["ostiary_two_faces_total"].labels(gate).inc()

    def gate_calibrated(self, gate: str, calibrated: bool) -> None:
        self._gauges["ostiary_gate_calibrated"].labels(gate).set(calibrated)

    def disk_free(self, size: int | None) -> None:
        self._gauges["ostiary_disk_free_bytes"].set(float("nan") if size is None else size)

    def recording_bytes(self, size: int) -> None:
        self._gauges["ostiary_recording_bytes"].set(size)

    def recording_dropped(self, gate: str, count: int) -> None:
        self._counters["ostiary_recording_dropped_total"].labels(gate).inc(count)

    def outbox(self, depth: int) -> None:
        self._gauges["ostiary_outbox_depth"].set(depth)

    def outbox_dropped(self, gate: str, count: int) -> None:
        self._counters["ostiary_outbox_dropped_total"].labels(gate).inc(count)

    def roster(self, box: str, *, complete: bool, head_age_s: float | None, records: int, waiting: int) -> None:
        """What the box knows of the roster."""
        self._gauges["ostiary_roster_complete"].labels(box).set(complete)
        self._gauges["ostiary_roster_head_age_seconds"].labels(box).set(float("nan") if head_age_s is None else head_age_s)
        self._gauges["ostiary_roster_records"].labels(box).set(records)
        self._gauges["ostiary_roster_waiting"].labels(box).set(waiting)

    def shares(self) -> None:
        """The box shares a roster. Rare events begin at 0: an alert on an increase would miss the first one otherwise."""
        for reason in ROSTER_REASONS:
            self.roster_rejected(reason, 0)

    def roster_rejected(self, reason: str, count: int = 1) -> None:
        """Something of the roster counts for nothing."""
        self._counters["ostiary_roster_rejected_total"].labels(self._word(reason)).inc(count)

    def info(self, version: str, model: str, provider: str) -> None:
        """What runs here. It replaces what was reported before."""
        self._gauges["ostiary_info"].clear()
        self._gauges["ostiary_info"].labels(version, model, provider).set(1)

    def heartbeat(self) -> None:
        """The engine made a turn of its loop."""
        self._gauges["ostiary_engine_heartbeat_timestamp_seconds"].set_to_current_time()

    def serve(self, host: str, port: int) -> MetricsServer:
        """Serve /metrics over plain HTTP and without a password, so bind it to loopback. Raises MetricsError."""
        return MetricsServer(host, port, self._registry)

    def _word(self, text: str) -> str:
        """A reason as a label value: one of a limited number of plain words, never an id (ids have digits)."""
        if text not in self._reasons:
            if not _WORD.fullmatch(text) or len(self._reasons) >= _MAX_REASONS:
                return OTHER
            self._reasons.add(text)
        return text
