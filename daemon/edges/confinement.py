"""Give up what a process does not need before it reads anything foreign: files, sockets, processes, memory, and most system calls.

From then on the process can compute, and read and write what it has open. There is no way back.
"""

import ctypes
import os
import platform
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from enum import IntFlag
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
_FORBIDDEN = {
    # Other programs and processes. `fork` and `vfork` are `clone` on 64-bit ARM.
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # Signals to others, and their memory, files and order.
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "perf_event_open": (298, 241), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # What goes round a filter or the rules for files.
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "userfaultfd": (323, 282), "open_by_handle_at": (304, 265), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268), "unshare": (272, 97),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442),
    # What is written about a file. The rules for files do not cover it.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None), "lchown": (94, None),
    "fchown": (93, 55), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None), "futimesat": (261, None),
    "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463), "removexattrat": (466, 466), "truncate": (76, 45),
}  # fmt: skip
"""What the reader of a camera may not call, beside what its arguments forbid; it has threads, network and a device."""
_CLONE, _CLONE3, _TGKILL = (56, 220), 435, (234, 131)
_CLONE_THREAD = 0x10000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_WRITE_FILE, _READ_FILE, _READ_DIR, _IOCTL = 1 << 1, 1 << 2, 1 << 3, 1 << 15
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights over files that a version of Landlock knows: none of them is left but for the rules."""
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPES = 3
"""No abstract socket and no signal to a process outside."""
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
    "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/run/systemd/resolve", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
    "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/pki/tls/certs",
    "/etc/crypto-policies", "/sys/devices/system/cpu", "/dev/urandom",
)  # fmt: skip
"""What libraries, names and TLS may need. Neither the state, the configuration and the credentials nor /proc and anybody's home."""
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_PARENT_DEATH, _NO_NEW_PRIVILEGES, _SECCOMP, _FILTER_MODE = 1, 38, 22, 2
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _MISSING, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_X32 = 0x40000000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def confine(memory_bytes: int) -> bool:
    """Confine this process: no new file, socket, process or core dump, no growing file, and so many bytes of memory beside what it has.

    Returns whether the kernel also filters its system calls; it does so on x86-64 and 64-bit ARM, for a process with one thread.
    """
    threads = len(list(Path("/proc/self/task").iterdir()))
    _limit({resource.RLIMIT_AS: _taken() + memory_bytes, resource.RLIMIT_NPROC: 0, resource.RLIMIT_NOFILE: 0})
    return threads == 1 and _filter()


class Lacks(IntFlag):
    """What the kernel does not do for a confined reader."""

    NOTHING, FILE_RULES, CALL_FILTER = 0, 1, 2


def confine_reader(memory_bytes: int, files: int, code: Path, device: Path | None, ports: Iterable[int], listens: bool) -> Lacks:
    """Confine this process less: it keeps threads, network and one device. What the kernel does not do is returned.

    It may have so many files open and so many bytes of memory beside what it has, leaves no core dump, lets no file grow, and ends with
    the process that started it. It reads only libraries, the folder `code`, and what names and TLS need; it writes nothing but `device`.
    It connects over TCP to `ports` alone, and accepts connections there only if it `listens`. It starts no program and no process, and
    reaches no other one. To be called before the process has a second thread.
    """
    ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    _limit({resource.RLIMIT_AS: _taken() + memory_bytes, resource.RLIMIT_NOFILE: files})
    alone = len(list(Path("/proc/self/task").iterdir())) == 1
    ruled = alone and _rule(code, device, ports, listens)
    filtered = alone and _filter_reader()
    return (Lacks.NOTHING if ruled else Lacks.FILE_RULES) | (Lacks.NOTHING if filtered else Lacks.CALL_FILTER)


def _rule(code: Path, device: Path | None, ports: Iterable[int], listens: bool) -> bool:
    """Have Landlock refuse everything but this. False where the kernel or the unit's filter has no Landlock."""
    libc = ctypes.CDLL(None, use_errno=True)
    call = libc.syscall
    version = call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]
    told = struct.pack("@QQQ", rights, _BIND_TCP | _CONNECT_TCP, _SCOPES)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = call(_LANDLOCK_CREATE, told, ctypes.c_size_t(len(told)), 0)
    if rules < 0:
        return False
    try:
        here = {Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages", "lib-dynload")}
        for place in {*map(Path, _SYSTEM), *here, Path(os.__file__).parent, code}:
            _beneath(call, rules, place, rights & (_READ_FILE | _READ_DIR))
        if device is not None:
            _beneath(call, rules, device, rights & (_READ_FILE | _WRITE_FILE | _IOCTL))
        if version >= 4:
            for port in ports:
                allowed = struct.pack("@QQ", _CONNECT_TCP | (_BIND_TCP if listens else 0), port)
                if call(_LANDLOCK_ADD, rules, 2, allowed, 0) != 0:
                    return False
        return bool(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and call(_LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _beneath(call: "ctypes._NamedFuncPointer", rules: int, place: Path, rights: int) -> None:
    """Allow this for a file, or all in a folder. What is not there is not allowed, and neither is what cannot be."""
    with suppress(OSError):
        found = os.open(place, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = rights if stat.S_ISDIR(os.fstat(found).st_mode) else rights & ~_READ_DIR
            call(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", allowed, found), 0)
        finally:
            os.close(found)


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
    return _enforce(_program(_ARCHITECTURES[machine], 0 if machine == "x86_64" else 1))


def _filter_reader() -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES or sys.maxsize < 2**32:
        return False
    return _enforce(_reader_program(_ARCHITECTURES[machine], 0 if machine == "x86_64" else 1, os.getpid()))


def _enforce(program: bytes) -> bool:
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


def _reader_program(architecture: int, column: int, pid: int) -> bytes:
    """As `_program`, with what is refused in place of what is allowed."""
    numbers = [number for pair in _FORBIDDEN.values() if (number := pair[column]) is not None]
    first = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),  # the same calls by other numbers
        (_RETURN, 0, 0, _REFUSE),
        (_EQUAL, 0, 1, _CLONE3),  # its arguments cannot be looked at: libraries take `clone` then
        (_RETURN, 0, 0, _MISSING),
        (_EQUAL, 0, 4, _CLONE[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for number, only in ((_PRLIMIT64[column], 0), (_TGKILL[column], pid)):
        first += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
            (_EQUAL, 1, 0, only),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    last = [
        *((_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("@HBBI", *line) for line in (*first, *last))
