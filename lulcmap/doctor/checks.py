"""All checks of the machine and the providers."""

from collections.abc import Callable, Iterator
from pathlib import Path

from lulcmap.catalog import PROFILES
from lulcmap.doctor import machine, provider, software
from lulcmap.doctor.check import Check, Finding, run_check


def run_checks(*, offline: bool = False, folder: Path = Path()) -> Iterator[Check]:
    """Run every check, one by one: those that need the network take seconds.

    Args:
        offline: whether to skip the checks that need the network.
        folder: folder that maps will be written to.

    Yields:
        Checks and their results; none contains the value of a secret or of a proxy.

    """
    looks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("Python", software.python),
        ("compiler", software.compiler),
        ("GDAL", software.gdal),
        ("PROJ of GDAL", software.proj_of_rasterio),
        ("PROJ of pyproj", software.proj_of_pyproj),
        ("ONNX Runtime", software.runtime),
        ("CUDA", software.cuda),
        ("OpenVINO", software.openvino),
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
            yield Check(profile.name, "skipped", "Skipped: --offline.")
        else:
            yield from provider.check_provider(profile)
