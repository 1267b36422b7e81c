"""Which Ostiary this is."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def version() -> str:
    """The installed version of the distribution."""
    try:
        return installed_version("ostiary")
    except PackageNotFoundError:
        return "unknown"
