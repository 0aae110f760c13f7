"""A map made in OpenVINO, beside one made in ONNX Runtime."""

from datetime import date
from importlib.util import find_spec

import pytest
import rasterio

from lulcmap.catalog.period import make_period
from lulcmap.pipeline import map_area

pytestmark = pytest.mark.skipif(not find_spec("openvino"), reason="OpenVINO is not installed")

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


def test_a_map_of_openvino_is_of_the_same_plan_and_says_what_made_it(country, settings, tmp_path):
    made = {
        device: map_area(
            str(country.aoi),
            tmp_path / f"{device}.tif",
            period=PERIOD,
            settings=settings(block_size=480, device=device),
        )
        for device in ("cpu", "openvino")
    }

    classes, plans = [], []
    for report in made.values():
        with rasterio.open(report.map) as source:
            classes.append(source.read(1))
            plans.append(source.tags()["LULCMAP_PLAN"])
    assert plans[0] == plans[1]
    assert (classes[0] != classes[1]).mean() < 1e-4
    assert [report.device[0].split()[:2] for report in made.values()] == [
        ["cpu,", "onnxruntime"],
        ["cpu,", "openvino"],
    ]
