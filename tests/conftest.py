"""What every test may ask for."""

import os
from pathlib import Path

import hypothesis
import pytest

# CI judges a change by the examples that judged the one before; everyone else looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
if os.environ.get("LULCMAP_EXAMPLES") == "fixed":
    hypothesis.settings.load_profile("fixed")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scenes, points, items and boundaries, which lies beside the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data (../shared/data) is not beside this checkout")
    return folder
