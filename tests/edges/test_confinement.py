"""What a confined process can still do, each tried in a process of its own."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

BEFORE = """
import ctypes, mmap, os, signal, socket, subprocess, sys, time
from pathlib import Path
import numpy as np
from daemon.edges.confinement import confine, limit_time
libc = ctypes.CDLL(None, use_errno=True)
line, other = socket.socketpair()
filtered = confine(200 << 20)
"""


def confined(code: str) -> "subprocess.CompletedProcess[str]":
    """Run this in a confined process; its word is written to the standard output that it has open."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", BEFORE + code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_computes_and_uses_what_it_has_open() -> None:
    done = confined("os.write(line.fileno(), b'x'); print(os.read(other.fileno(), 1), np.ones((1000, 1000)).sum())")
    assert done.stdout == "b'x' 1000000.0\n", done


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "open('/proc/self/maps')",
        "socket.socket()",
        "os.dup(0)",
        "os.fork()",
        "subprocess.run(['true'])",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "os.kill(os.getppid(), signal.SIGSTOP)",
        "os.pidfd_open(os.getppid())",
        "os.unlink('/tmp/nothing-of-this-name')",
        "os.setuid(0)",
        "assert libc.ptrace(16, os.getppid(), 0, 0) == 0",
        "assert libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0) == 0",
        "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_AS, (1, 1))",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
        "np.ones(1 << 30, np.uint8)",
        "mmap.mmap(-1, 1 << 30)",
    ],
)
def test_it_can_do_nothing_else(attempt: str) -> None:
    done = confined(f"""
if not filtered and 'RLIMIT' not in {attempt!r}: print('unfiltered')
try:
    {attempt}
except (OSError, MemoryError, ValueError, AssertionError) as error:
    os.write(1, b'refused')
else:
    os.write(1, b'done')
""")
    if "unfiltered" in done.stdout:
        pytest.skip("this kernel filters no system calls")
    assert done.stdout == "refused", done


def test_it_cannot_let_a_file_grow() -> None:
    code = "import tempfile"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; file = tempfile.TemporaryFile(buffering=0){BEFORE}\nimport signal\ntry:\n    file.write(b'x')\n"
         "except OSError:\n    os.write(1, b'refused')"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "refused", done


def test_it_computes_no_longer_than_it_may() -> None:
    done = confined("limit_time(1)\nwhile True: pass")
    assert done.returncode == -24, done  # SIGXCPU


def test_its_time_is_counted_anew_for_every_photo() -> None:
    done = confined(
        """
for _ in range(4):
    limit_time(1)
    until = time.process_time() + 0.8
    while time.process_time() < until: pass
os.write(1, b'alive')
"""
    )
    assert done.stdout == "alive", done


READER = """
import os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
import av
from daemon.edges.confinement import confine_reader
libc = __import__('ctypes').CDLL(None, use_errno=True)
lacks = confine_reader(1 << 30, 64, Path('daemon').resolve(), Path('/dev/null'), (1,), listens=False)
"""


@pytest.mark.parametrize(
    ("attempt", "refused"),
    [
        ("open('/etc/passwd')", True),
        ("os.listdir(os.path.expanduser('~'))", True),
        ("open('/proc/self/maps')", True),
        ("open('/proc/%d/environ' % os.getppid())", True),
        ("open('/dev/shm/nothing-of-this-name', 'w')", True),
        ("os.chmod('.', 0o777)", True),
        ("os.fork()", True),
        ("os.execv('/bin/true', ['true'])", True),
        ("subprocess.run(['true'])", True),
        ("os.kill(os.getppid(), 0)", True),
        ("os.pidfd_open(os.getppid())", True),
        ("resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)", True),
        ("assert libc.ptrace(16, os.getppid(), 0, 0) == 0", True),
        ("assert libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0) == 0", True),
        ("assert libc.syscall(425, 8, None) == 0  # io_uring", True),
        ("threading.Thread(target=print).start()", False),
        ("import xml.dom.minidom, encodings.idna", False),
        ("socket.getaddrinfo('localhost', 80)", False),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 0))", False),
        ("open('/etc/hosts')", False),
        ("open('/dev/null', 'r+b', buffering=0)  # the device", False),
        ("open('/dev/zero', 'rb')", True),
    ],
)
def test_the_reader_of_a_camera_keeps_threads_and_network(attempt: str, refused: bool) -> None:
    code = f"""
if lacks: print('lacks', lacks)
try:
    {attempt}
except (OSError, AssertionError):
    print('refused')
else:
    print('done')
"""
    done = subprocess.run([sys.executable, "-c", READER + code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if "lacks" in done.stdout:
        pytest.skip("this kernel does not limit files or calls")
    assert done.stdout.split()[-1] == ("refused" if refused else "done"), done
