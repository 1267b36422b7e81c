"""A computer for the gate: Debian in a folder, booted with its own systemd by systemd-nspawn."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SUITE = "bookworm"
PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,python3-venv,python3-dev,g++,mosquitto,mosquitto-clients,openssl,sudo,ca-certificates,"
    "procps,iproute2,bsdutils"
)
BOOT_S = 90.0
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb")
MOST_LINES = 24
"""What a command says beyond this is left out of the transcript."""


class Failed(Exception):
    """A step did not do what it promises."""


def need(*programs: str) -> None:
    """Raises SystemExit where this machine cannot do the test."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}\n  hint: sudo apt install debootstrap systemd-container")
    if os.geteuid() != 0:
        raise SystemExit("a system is booted in a folder, which needs root\n  hint: sudo make system-test")


def debian(folder: Path, name: str = SUITE, packages: str = PACKAGES) -> Path:
    """A bare Debian with the packages of deploy/README.md's first step, or others. It is made once and never changed."""
    base = folder / name
    if not base.exists():
        made = folder / f"{name}.part"
        shutil.rmtree(made, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", *([f"--include={packages}"] if packages else []), SUITE, str(made)], check=True)
        made.rename(base)
    return base


def say(text: str = "") -> None:
    """A line of the transcript."""
    print(text, flush=True)  # noqa: T201


class Machine:
    """A copy of a Debian in `folder`, thrown away at the end. Only loopback reaches it."""

    def __init__(self, base: Path, folder: Path, shared: dict[Path, str]) -> None:
        self._folder, self._shared = folder, shared
        self.root = folder / "root"
        for name in ("root", "upper", "work"):
            (folder / name).mkdir(parents=True)
        options = f"lowerdir={base},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)], check=True)
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Switch it on, and wait until everything is started. Raises Failed."""
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--private-network", "--resolv-conf=off", "--console=pipe"]
        if not Path("/run/systemd/system").exists():
            command.append("--keep-unit")
        command += [f"--bind-ro={path}:{inside}" for path, inside in self._shared.items()]
        with (self._folder / "console.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "-D", str(self.root)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until("the system is up", self._is_up, BOOT_S)

    def reboot(self) -> None:
        """Let the system start itself again, and wait until everything is started. Raises Failed."""
        before = self.leader
        self.sh("systemctl reboot", ends=None)
        self.until("the system is down", lambda: self.leader != before, BOOT_S)
        if not self._process or self._process.poll() is not None:  # with --keep-unit systemd-nspawn leaves the new start to its caller
            self.boot()
        self.until("the system is up", self._is_up, BOOT_S)

    def _is_up(self) -> bool:
        return self._said("systemctl is-system-running").strip() in ("running", "degraded")

    @property
    def leader(self) -> int:
        """The process id of its systemd, 0 while there is none."""
        if self._process is None or self._process.poll() is not None:
            return 0
        try:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        except OSError:
            return 0
        return int(children[-1]) if children else 0

    def inside(self, *command: str, only_network: bool = False) -> list[str]:
        """A command line of the host that runs `command` in the machine, or only in its network."""
        what = ["--net"] if only_network else ["--all"]
        return ["nsenter", f"--target={self.leader}", *what, "--", *(() if only_network else ("env", "-i", *ENVIRONMENT)), *command]

    def sh(self, command: str, *, ends: int | None = 0, shown: bool = True, timeout_s: float = 300.0) -> str:
        """Run a shell command as root and print it with what it says. Raises Failed unless it ends with status `ends` (None: any)."""
        if shown:
            say(f"# {command}")
        done = subprocess.run(
            self.inside("bash", "-c", f"set -o pipefail; cd /root\n{command}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
        lines = done.stdout.rstrip().splitlines()
        wrong = ends is not None and done.returncode != ends
        if shown or wrong:
            left_out = max(0, len(lines) - MOST_LINES)
            cut = lines if wrong or not left_out else [*lines[: MOST_LINES // 2], f"… {left_out} lines", *lines[-MOST_LINES // 2 :]]
            for line in cut:
                say(f"  {line}")
        if wrong:
            raise Failed(f"`{command}` ended with status {done.returncode} and not {ends}")
        return done.stdout

    def _said(self, command: str) -> str:
        if not self.leader:
            return ""
        done = subprocess.run(self.inside("bash", "-c", command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.stdout

    def until(self, what: str, done: Callable[[], bool], longest_s: float = 60.0) -> float:
        """Wait for a condition; returns the seconds it took. Raises Failed."""
        started = time.monotonic()
        while not done():
            if time.monotonic() - started > longest_s:
                raise Failed(f"not within {longest_s:g} s: {what}")
            time.sleep(0.25)
        return time.monotonic() - started

    def until_said(self, command: str, wanted: str, longest_s: float = 60.0) -> float:
        """Wait until a command's output contains `wanted`."""
        return self.until(f"`{command}` says {wanted!r}", lambda: wanted in self._said(command), longest_s)

    def off(self) -> None:
        """Switch it off without ceremony, and throw it away."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()  # systemd-nspawn powers the machine off
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        subprocess.run(["umount", "--lazy", str(self.root)], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit("run `make system-test`")
