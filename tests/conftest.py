"""What every test may ask for."""

import os
from pathlib import Path

import hypothesis
import pytest

# CI judges a change by the examples that judged the one before; everyone else looks for new ones.
# No test depends on time: an example has no deadline.
hypothesis.settings.register_profile("new", deadline=None)
hypothesis.settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile(os.environ.get("LULCMAP_EXAMPLES", "new"))


@pytest.fixture(scope="session", autouse=True)
def _empty_cache(tmp_path_factory):
    """Models that whoever runs the tests has fetched are not seen by them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LULCMAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scenes, points, items and boundaries, which lies beside the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data (../shared/data) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def country(tmp_path_factory):
    """A small simulated country, shared by the tests that map one: read it, do not change it."""
    from lulcmap.simulation.build import Country, simulate

    folder = tmp_path_factory.mktemp("country")
    return simulate(folder, Country(seed=1, height=256, width=320, s2_dates=4, s1_dates=3))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The file of a model that gives Dynamic World's classes, at random."""
    from tests.support.stubs import contract, make_model

    return make_model(tmp_path_factory.mktemp("model") / "stub.onnx", contract(), kernel=8)


@pytest.fixture(scope="session")
def settings(country, model):
    """Makes settings with which ``model`` maps ``country`` in a dozen blocks."""
    from lulcmap.planning.settings import Settings

    def of(**changes):
        defaults = {"model": str(model), "catalog": str(country.items), "block_size": 96}
        return Settings(**{**defaults, "device": "cpu", **changes})

    return of


@pytest.fixture(scope="session")
def micro_onnx(tmp_path_factory) -> Path:
    """The export of a very small network: it takes a minute, so all processes share one."""
    from lulcmap.system import hold_file
    from lulcmap.training import export_onnx
    from tests.support.networks import MICRO, checkpoint

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the run, in which each process has its own
    out = folder / "micro.onnx"
    with hold_file(folder / "micro.lock", wait=True):
        if not out.exists():
            export_onnx(checkpoint(MICRO), out)
    return out
