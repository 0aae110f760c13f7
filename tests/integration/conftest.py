"""The country, the offline run, and the services; those not installed skip their tests.

With ``LULCMAP_SERVICES=required``, as CI sets it, a missing service fails them instead.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lulcmap.simulation.build import simulate
from tests.integration import services
from tests.integration.runs import COUNTRY, Run, World
from tests.integration.servers import FileServer
from tests.support.stubs import contract, make_model

collect_ignore = ["in_qgis.py"]
"""Imports what the Python of QGIS alone has."""

Service = TypeVar("Service")

CONTAINERS = {"sentinel-2-l2a": "sentinel2-l2", "sentinel-1-rtc": "sentinel1-grd-rtc"}
"""From a collection to the container that holds it, named as on the Planetary Computer."""


@pytest.fixture(autouse=True)
def _loopback(socket_enabled: None) -> None:
    """These tests, and the fixtures below, need sockets."""


def _started(stack: ExitStack, service: AbstractContextManager[Service]) -> Service:
    """Start a service that stops with the stack; without it the test skips, or fails in CI."""
    try:
        return stack.enter_context(service)
    except services.Missing as missing:
        if os.environ.get("LULCMAP_SERVICES") == "required":
            pytest.fail(f"LULCMAP_SERVICES is required, and {missing}")
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[[AbstractContextManager[Service]], Service]]:
    """What starts a service; all are stopped when the tests end, however they do."""
    with ExitStack() as stack:
        yield partial(_started, stack)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """A small country, four dates of Sentinel-2 and three of Sentinel-1."""
    folder = tmp_path_factory.mktemp("country")
    made = simulate(folder, COUNTRY)
    model = make_model(tmp_path_factory.mktemp("model") / "stub.onnx", contract(), kernel=8)
    return World(folder, json.loads(made.items.read_text())["features"], made.aoi, model)


@pytest.fixture(scope="session")
def offline(world, tmp_path_factory) -> Run:
    """The run of the same items from files: what every other run must equal."""
    return world.predict(world.folder / "items.json", tmp_path_factory.mktemp("offline") / "m.tif")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; no longer than its module, for while it runs no other event loop can."""
    with ExitStack() as stack:
        yield _started(stack, services.chromium())


@pytest.fixture(scope="session")
def axe(start) -> str:
    """The script of axe-core."""
    return start(services.axe())


@pytest.fixture
def files(world) -> Iterator[FileServer]:
    """The country's files over HTTP, from a server that can misbehave."""
    with FileServer(world.folder).running() as server:
        yield server


@pytest.fixture(scope="session")
def blobs(start, world) -> str:
    """Azurite with the country's files in it, one container a collection; its host and port."""
    url = start(services.azurite())
    services.upload(url, world.folder, CONTAINERS)
    return url.split("/")[2]


@pytest.fixture(scope="session")
def proxy(start, blobs) -> str:
    """URL of the proxy that leads the blobs' host to Azurite, as fast as it can."""
    return start(services.forward_proxy(blobs, pace=5000))[0]


@pytest.fixture
def blob_items(world, tmp_path) -> Path:
    """The items as the Planetary Computer has them: unsigned hrefs of blobs."""
    path = world.collection(tmp_path / "items.json", f"http://{services.BLOB_HOST}")
    text = path.read_text()
    for collection, container in CONTAINERS.items():
        text = text.replace(
            f"{services.BLOB_HOST}/{collection}/", f"{services.BLOB_HOST}/{container}/"
        )
    path.write_text(text)
    return path
