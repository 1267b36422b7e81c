"""One thread per camera: frames in, views out. It owns its camera and its detector, and nothing else."""

import threading
import time
from collections.abc import Callable

from daemon.core.attention import Attention
from daemon.core.faces.quality import Judge
from daemon.core.pace import LOSSES
from daemon.core.region import Region
from daemon.core.values import OPENING, STREAM_OPEN, Frame, View
from daemon.edges.camera import Camera
from daemon.edges.metrics import Metrics
from daemon.pipeline.steps import Detector, look
from daemon.serving.mailbox import CameraState, Looked, WorkerFailed

READ_S = 0.25
REASON_EVERY_S = 10.0
PACE_EVERY_S = 1.0


class GateWorker:
    """Runs `look` on the newest frame of one camera, where its `attention` says, for faces in its `region`. With `liveness`, faces are cut
    out with their surroundings too, and with `portraits_px` faces of at least so many pixels as a desk would see them.

    `offer` takes views, and waits while the engine is behind. `tell` takes events, and `record` takes every frame before it is looked at;
    neither waits for a disk.
    """

    def __init__(
        self,
        gate: str,
        camera: Camera,
        attention: Attention,
        detector: Detector,
        judge: Judge,
        offer: Callable[[View, threading.Event], bool],
        tell: Callable[[CameraState | Looked | WorkerFailed], None],
        metrics: Metrics,
        record: Callable[[Frame], object] = lambda frame: None,
        *,
        region: Region | None = None,
        liveness: bool = False,
        portraits_px: float | None = None,
    ) -> None:
        self.gate, self._record, self._region = gate, record, region
        self._liveness, self._portraits_px = liveness, portraits_px
        self._camera, self._attention, self._detector, self._judge = camera, attention, detector, judge
        self._offer, self._tell, self._metrics = offer, tell, metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"gate-{gate}", daemon=True)

    @property
    def live(self) -> bool:
        """Whether the camera never ends, unlike a recording."""
        return self._camera.live

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end. A thread that hangs in C code is left behind: the process ends anyway."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  a thread's mouth: the engine ends the process with this error
            self._tell(WorkerFailed(self.gate, error))
        finally:
            self._camera.close()

    def _work(self) -> None:
        told: tuple[object, str | None] | None = None
        told_s = 0.0
        dropped: dict[str, int] = {}
        looked = lost = 0
        paced_s = time.monotonic()
        while not self._stop.is_set():
            frame = self._camera.read(READ_S)
            state = (self._camera.state, self._camera.trouble), self._camera.detail
            if frame is not None:
                self._metrics.frame(self.gate)
                looked += 1
                self._record(frame)  # before it is looked at: a frame that brings the worker down is on the recording
                view = look(
                    frame,
                    self._detector,
                    self._judge,
                    self._metrics.stage,
                    attention=self._attention,
                    region=self._region,
                    liveness=self._liveness,
                    portraits_px=self._portraits_px,
                )
                for probe in view.probes:
                    self._metrics.face(self.gate, probe.quality)
                if not self._offer(view, self._stop):
                    return
            for reason, count in self._camera.dropped.items():
                more = max(0, count - dropped.get(reason, 0))
                self._metrics.dropped(self.gate, reason, more)
                lost += more if reason in LOSSES else 0
                dropped[reason] = count
            if (now_s := time.monotonic()) - paced_s >= PACE_EVERY_S:
                self._tell(Looked(self.gate, now_s, looked, lost))
                paced_s, looked, lost = now_s, 0, 0
            # A reason may change with every try (seconds counted, say); a state is news at once, and so is the first reason.
            waits = told is not None and told[0] == state[0] and told[1] not in (OPENING, STREAM_OPEN)
            if state != told and not (waits and time.monotonic() - told_s <= REASON_EVERY_S):
                told, told_s = state, time.monotonic()
                self._tell(CameraState(self.gate, state[0][0], state[1], self._camera.live, state[0][1]))
            if state[0][0] == "ended" and frame is None:
                return
