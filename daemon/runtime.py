"""Which ONNX Runtime is installed. It comes as two packages with the same files, so an installation must have one of them."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from daemon.core.faults import Fault

PACKAGES = ("onnxruntime", "onnxruntime-gpu")
"""The build for the CPU alone, and the one that can use an NVIDIA GPU too."""


class RuntimeMissing(Fault):
    """No ONNX Runtime is installed. `hint` says what to do about it."""


def need_runtime() -> None:
    """Raises RuntimeMissing where ONNX Runtime is not installed, without importing it."""
    if find_spec("onnxruntime") is None:
        hint = "run deploy/install.sh (--cuda on a machine with an NVIDIA GPU), or `pip install '.[cpu]'` in the folder of Ostiary's source"
        raise RuntimeMissing("ONNX Runtime is not installed, so no model can run", hint)


def packages() -> list[str]:
    """The installed packages of ONNX Runtime, each with its version."""
    found = []
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return found


def clash() -> Fault | None:
    """What is wrong where both packages are installed: each has overwritten files of the other, and what runs is luck."""
    found = packages()
    if len(found) < len(PACKAGES):
        return None
    hint = f"uninstall both ({', '.join(PACKAGES)}), then run deploy/install.sh, with --cuda on a machine with an NVIDIA GPU"
    return Fault(f"{' and '.join(found)} are both installed and have overwritten each other's files", hint)
