"""A check of the machine and of the providers: what works here, what does not, what to do."""

from collections.abc import Callable, Iterator
from pathlib import Path

from lulcmap.catalog import PROFILES
from lulcmap.doctor import machine, provider, software
from lulcmap.doctor.check import Check, Finding, Status, run_check

__all__ = ["Check", "Status", "examine"]


def examine(*, offline: bool = False, folder: Path = Path()) -> Iterator[Check]:
    """Every check, one by one, for those of the network take seconds.

    Args:
        offline: leave the network alone.
        folder: where maps are to be written.

    Yields:
        Findings; none holds the value of a secret or of a proxy.

    """
    looks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("Python", software.python),
        ("compiler", software.compiler),
        ("GDAL", software.gdal),
        ("PROJ of GDAL", software.proj_of_rasterio),
        ("PROJ of pyproj", software.proj_of_pyproj),
        ("ONNX Runtime", software.runtime),
        ("CUDA", software.cuda),
        ("models", software.models),
        ("memory", machine.memory),
        ("disk", lambda: machine.disk(folder)),
        ("credentials", machine.credentials),
        ("proxies", machine.proxies),
    )
    for name, look in looks:
        yield run_check(name, look)
    for profile in PROFILES.values():
        if offline:
            yield Check(profile.name, "skipped", "Not asked: --offline.")
        else:
            yield from provider.check_provider(profile)
