"""Give up what a process does not need before it reads anything foreign: files, sockets, processes, memory, and most system calls.

From then on the process can compute, and read and write what it has open. There is no way back.
"""

import ctypes
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

_ALLOWED = {
    # name: (x86_64, aarch64)
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}
"""What Python, OpenCV and ONNX Runtime use to compute. Everything else fails with EPERM."""
_PRLIMIT64 = (302, 261)
"""Allowed for the process itself, so that it can limit its time for each picture."""
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_PARENT_DEATH, _NO_NEW_PRIVILEGES, _SECCOMP, _FILTER_MODE = 1, 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def confine(memory_bytes: int) -> bool:
    """Confine this process: no new file, socket, process or core dump, no growing file, and so many bytes of memory beside what it has.

    Returns whether the kernel also filters its system calls; it does so on x86-64 and 64-bit ARM, for a process with one thread.
    """
    threads = len(list(Path("/proc/self/task").iterdir()))
    _limit({resource.RLIMIT_AS: _taken() + memory_bytes, resource.RLIMIT_NPROC: 0, resource.RLIMIT_NOFILE: 0})
    return threads == 1 and _filter()


def confine_reader(memory_bytes: int, files: int) -> None:
    """Confine this process less: it keeps network, devices and threads. It may have so many files open and so many bytes of memory beside
    what it has, leaves no core dump, lets no file grow, and ends with the process that started it."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    _limit({resource.RLIMIT_AS: _taken() + memory_bytes, resource.RLIMIT_NOFILE: files})


def _taken() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _limit(limits: dict[int, int]) -> None:
    for what, limit in {**limits, resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}.items():
        hard = resource.getrlimit(what)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (least, least))


def limit_time(seconds: int) -> None:
    """From now on this process may compute for about so many seconds; then SIGXCPU ends it. Call it again for more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft, hard = int(used.ru_utime + used.ru_stime) + 1 + seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _filter() -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES or sys.maxsize < 2**32:
        return False
    program = _program(_ARCHITECTURES[machine], 0 if machine == "x86_64" else 1)
    code = ctypes.create_string_buffer(program, len(program))
    told = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return bool(prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and prctl(_SECCOMP, _FILTER_MODE, told, 0, 0) == 0)


def _program(architecture: int, column: int) -> bytes:
    """A filter in the kernel's BPF: 8 bytes per instruction, jumps count the instructions that are skipped."""
    numbers = [pair[column] for pair in _ALLOWED.values()]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_EQUAL, 0, 4, _PRLIMIT64[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
        *((_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("@HBBI", *line) for line in lines)
