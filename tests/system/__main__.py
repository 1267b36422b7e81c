"""The whole life of a gate on a bare Debian: install, serve, upgrade, fail, go back, reboot, remove. It prints a transcript.

    sudo python -m tests.system [--cache FOLDER] [--keep] [--image]

It boots the Debian with systemd-nspawn and needs root, debootstrap and GStreamer's RTSP server; the camera is a process of this machine in
the network of the booted one.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from daemon.demo.frames import enrolment_photo
from tests.conftest import ROOT
from tests.system import image
from tests.system.machine import Failed, Machine, debian, need, say
from tests.system.story import Story, pictures, unpack


def main() -> int:
    """Run the story; 0 if every step did what it promises."""
    parser = argparse.ArgumentParser(prog="tests.system", description=(__doc__ or "").split("\n")[0])
    cache = Path("/var/tmp/ostiary-system-test")
    parser.add_argument("--cache", type=Path, default=cache, metavar="FOLDER", help=f"keeps Debian and wheels ({cache})")
    parser.add_argument("--keep", action="store_true", help="leave the machine's folder behind")
    parser.add_argument("--image", action="store_true", help="carry out deploy/Containerfile instead, and serve on a read-only root")
    arguments = parser.parse_args()
    if arguments.image:
        return image_story(arguments.cache)
    need("debootstrap", "systemd-nspawn", "nsenter", "mount")
    if subprocess.run(["/usr/bin/python3", "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"], check=False).returncode:
        raise SystemExit("GStreamer's RTSP server is missing\n  hint: sudo apt install python3-gi gir1.2-gst-rtsp-server-1.0")
    base, wheels = debian(arguments.cache), wheelhouse(arguments.cache)
    folder = Path(tempfile.mkdtemp(prefix="machine-", dir=arguments.cache))
    machine = Machine(base, folder, {wheels: "/mnt/wheels"})
    started = time.monotonic()
    try:
        unpack(machine)
        story = Story(machine, pictures(folder / "pictures"))
        machine.boot()
        story.tell()
        say(f"\nevery step did what it promises, in {time.monotonic() - started:.0f} s")
        return 0
    except Failed as failure:
        say(f"\nFAILED: {failure}")
        machine.sh("systemctl --failed --no-pager; systemctl status ostiary --no-pager; journalctl -u ostiary -n 40 --no-pager", ends=None)
        return 1
    finally:
        if not arguments.keep:
            machine.off()


def image_story(cache: Path) -> int:
    """The steps of deploy/Containerfile, and its program on a read-only root; 0 if it serves."""
    need("debootstrap", "unshare", "mount")
    base, wheels = debian(cache, "bookworm-slim", ""), wheelhouse(cache)
    folder = Path(tempfile.mkdtemp(prefix="image-", dir=cache))
    try:
        made = image.build(ROOT / "deploy/Containerfile", ROOT, base, folder, {}, wheels)
        image.serves(made, folder, pictures(folder / "pictures"), enrolment_photo("collins"), 19464)
        say("\nthe image serves")
        return 0
    except Failed as failure:
        say(f"\nFAILED: {failure}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wheelhouse(cache: Path) -> Path:
    """Everything install.sh needs, downloaded on this machine; made once, and again for other versions."""
    folder = cache / "wheels"
    stamp = folder / "made-for"
    wanted = (ROOT / "constraints.txt").read_text("utf-8") + (ROOT / "pyproject.toml").read_text("utf-8")
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        subprocess.run([str(ROOT / "deploy/make-wheelhouse.sh"), "--python", "/usr/bin/python3", str(folder)], check=True)
        stamp.write_text(wanted, "utf-8")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
