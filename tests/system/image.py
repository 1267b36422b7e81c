"""deploy/Containerfile without a container engine: its steps run one after the other in a Debian in a folder, and the result serves.

What is read here of a Containerfile is what that one uses: ARG, FROM, RUN, COPY, ENV, USER, and the JSON form of ENTRYPOINT and CMD.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.machine import ENVIRONMENT, Failed, say

KNOWN = ("ARG", "FROM", "RUN", "COPY", "ENV", "USER", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD")


@dataclass(slots=True)
class Image:
    """What a Containerfile has made: a folder, and how a container of it starts."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    volumes: list[str] = field(default_factory=list)
    start: list[str] = field(default_factory=list)


def steps(containerfile: Path) -> list[tuple[str, str]]:
    """Its instructions with their arguments, continued lines joined. Raises Failed for one that is not known here."""
    text = re.sub(r"\\\n\s*", "", containerfile.read_text("utf-8"))
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            if word not in KNOWN:
                raise Failed(f"{containerfile}: {word} is not known here")
            found.append((word, rest.strip()))
    return found


def build(containerfile: Path, context: Path, base: Path, folder: Path, arguments: dict[str, str], wheels: Path) -> Image:
    """Carry out every step. pip takes its packages from `wheels`, as an engine's own settings would make it. Raises Failed."""
    given: dict[str, str] = {}
    stages: dict[str, Image] = {}
    image = Image(base)
    for word, rest in steps(containerfile):
        say(f"{word} {rest[:150]}")
        values: dict[str, str] = given | image.environment
        text = re.sub(r"\$\{(\w+)\}", lambda found, values=values: values[found[1]], rest)  # type: ignore[misc]
        match word:
            case "ARG":
                name, _, default = text.partition("=")
                given[name] = arguments.get(name, default)
            case "FROM":
                image = Image(_copy(base, folder / f"stage-{len(stages)}"))
                stages[text.split(" AS ")[1] if " AS " in text else str(len(stages))] = image
            case "ENV":
                image.environment |= dict(pair.split("=", 1) for pair in shlex.split(text))
            case "COPY":
                source = context
                if text.startswith("--from="):
                    name, text = text.removeprefix("--from=").split(" ", 1)
                    source = stages[name].root
                *names, target = text.split()
                for one in names:
                    _put(source / one.lstrip("/"), image.root / target.lstrip("/"), into=target.endswith("/"))
            case "RUN":
                run(image, ["sh", "-ec", text], {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt/wheels"}, [f"{wheels}:/mnt/wheels"])
            case "USER":
                image.user = text
            case "VOLUME":
                image.volumes.append(text)
            case "ENTRYPOINT" | "CMD":
                image.start += json.loads(text)
    return image


def command(image: Image, words: list[str], more: dict[str, str], binds: list[str], read_only: bool = False) -> list[str]:
    """A command line of the host that runs `words` in the image. `read_only`: only the volumes and /tmp can be written."""
    mounts = [f"mount --bind {image.root} {image.root}", f"mount -t proc proc {image.root}/proc", f"mount --rbind /dev {image.root}/dev"]
    if not read_only:
        mounts.append(f"touch {image.root}/etc/resolv.conf && mount --bind /etc/resolv.conf {image.root}/etc/resolv.conf")
    for bind in binds:
        outside, place = bind.split(":")
        mounts.append(f"mkdir -p {image.root}{place} && mount --bind {outside} {image.root}{place}")
    if read_only:
        mounts += [f"mount -t tmpfs tmpfs {image.root}/tmp", f"mount -o remount,bind,ro {image.root}"]
    user = "root" if not read_only else image.user
    groups = subprocess.run(["chroot", str(image.root), "id", "-G", user], capture_output=True, text=True, check=True).stdout.split()
    environment = [*ENVIRONMENT, *(f"{name}={value}" for name, value in (image.environment | more).items())]
    inside = ["chroot", f"--userspec={user}", f"--groups={','.join(groups)}", str(image.root), "/usr/bin/env", "-i", *environment, *words]
    script = " && ".join([*mounts, f"exec {shlex.join(inside)}"])
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "sh", "-ec", script]


def run(image: Image, words: list[str], more: dict[str, str], binds: list[str]) -> None:
    """Run a step of the build as root. Raises Failed."""
    done = subprocess.run(
        command(image, words, {"DEBIAN_FRONTEND": "noninteractive"} | more, binds), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise Failed(f"`{shlex.join(words)}` ended with status {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    for line in (done.stdout + done.stderr).splitlines()[-4:]:
        say(f"  {line}")


def serves(image: Image, folder: Path, shown: Path, photo: bytes, port: int) -> None:
    """As its own user on a read-only root: it checks itself, recognises a person, and serves. Raises Failed."""
    site, state = folder / "site", folder / "state"
    for place in (site, state):
        place.mkdir()
    (site / "photo.jpg").write_bytes(photo)
    (site / "config.toml").write_text(
        f'site = "acme"\n[gates.north]\nsource = "/mnt/pictures"\nfps = 12\n[mqtt]\nport = {port + 1}\n[metrics]\nport = {port}\n'
    )
    owner = (image.root / "var/lib/ostiary").stat()
    os.chown(state, owner.st_uid, owner.st_gid)  # an engine gives a new volume the owner and mode that the image has there
    state.chmod(0o700)
    binds = [f"{site}:/etc/ostiary", f"{state}:{image.volumes[0]}", f"{shown}:/mnt/pictures"]

    def said(*words: str) -> str:
        say(f"$ {shlex.join(words)}")
        done = subprocess.run(command(image, [*words], {}, binds, read_only=True), capture_output=True, text=True, check=False)
        for line in (done.stdout + done.stderr).rstrip().splitlines()[-14:]:
            say(f"  {line.rstrip()}")
        return done.stdout + done.stderr

    tried = said("sh", "-c", "id -un; touch /opt/x /etc/x; cd /var/lib/ostiary && touch x /tmp/x && rm x && echo writable")
    if "ostiary\n" not in tried or "writable" not in tried or tried.count("cannot touch") != 2:
        raise Failed("the root is not read-only")
    program = image.start[0]
    if "✗" in said(program, "check", "--local", "--config", "/etc/ostiary/config.toml"):
        raise Failed("the check fails")
    replay = said(program, "replay", "/mnt/pictures", "--enroll", "E1042=/etc/ostiary/photo.jpg", "--config", "/etc/ostiary/config.toml")
    if "accept" not in replay:
        raise Failed("nobody is accepted")
    say(f"$ {shlex.join(image.start)}")
    with (folder / "serve.log").open("wb") as log:
        daemon = subprocess.Popen(command(image, image.start, {}, binds, read_only=True), stdout=log, stderr=log)
    try:
        deadline, page = time.monotonic() + 90, ""
        while "ostiary_gate_state" not in page:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"it does not serve: {(folder / 'serve.log').read_text()[-2000:]}")
            time.sleep(0.5)
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                page = answer.read().decode()
        for line in page.splitlines():
            if line.startswith(("ostiary_gate_state", "ostiary_broker_up", "ostiary_camera_up")):
                say(f"  {line}")
    finally:
        daemon.kill()
        daemon.wait(10)


def _copy(base: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(target)], check=True)
    return target


def _put(source: Path, target: Path, *, into: bool) -> None:
    """As COPY does: a folder's content into a folder, a file into a folder or under a name."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        if into:
            target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
