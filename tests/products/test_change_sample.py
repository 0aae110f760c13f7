"""From maps with errors to the true area of change: strata, a labelled sample, and the estimate."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from pyproj import Transformer

from lulcmap import map_change
from lulcmap.cli import main
from lulcmap.errors import UsageError
from tests.products.maps import GRID, write_map

RNG = np.random.default_rng(7)
SHAPE = (400, 500)


def with_errors(truth, rate):
    wrong = RNG.random(truth.shape) < rate
    return np.where(wrong, RNG.integers(0, 5, truth.shape), truth).astype(np.uint8)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Two maps, wrong at 5 % of the pixels, of land of which 3 % changes."""
    folder = tmp_path_factory.mktemp("maps")
    first = np.kron(RNG.integers(0, 5, (40, 50)), np.ones((10, 10))).astype(np.uint8)
    changed = np.kron(RNG.random((40, 50)) < 0.03, np.ones((10, 10), bool))
    last = np.where(changed, 4, first).astype(np.uint8)
    np.save(folder / "first.npy", first)
    np.save(folder / "last.npy", last)
    write_map(folder / "2020.tif", with_errors(first, 0.05))
    write_map(folder / "2024.tif", with_errors(last, 0.05))
    return folder


def run(*words):
    result = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def label(sample, folder):
    """Write what is true at each point, by the names of the strata."""
    with rasterio.open(folder / "strata.tif") as file:
        names = {key: name for key, name in file.tags(1).items() if key.startswith("CLASS_")}
    meta, _, geometry, columns = pyogrio.raw.read(sample)
    fields = dict(zip(meta["fields"], columns, strict=True))
    to_map = Transformer.from_crs(4326, 32632, always_xy=True)
    x, y = to_map.transform(fields["lon"], fields["lat"])
    col, row = ~GRID @ (x, y)
    at = np.floor(row).astype(int), np.floor(col).astype(int)
    first, last = (np.load(folder / f"{name}.npy")[at] for name in ("first", "last"))
    own = ("water", "trees", "grass", "flooded_vegetation", "crops")
    labels = []
    for one, other in zip(first, last, strict=True):
        name = f"{own[one]} to {own[other]}"
        labels.append(
            "no change" if one == other else name if name in names.values() else "other changes"
        )
    fields["label"] = np.array(labels, object)
    pyogrio.raw.write(
        sample,
        geometry=shapely.to_wkb(shapely.from_wkb(geometry)),
        field_data=list(fields.values()),
        fields=list(fields),
        layer="sample",
        driver="GPKG",
        geometry_type="Point",
        crs="EPSG:4326",
    )


def test_a_labelled_sample_tells_the_true_area_of_change(maps):
    pair = maps / "2020.tif", maps / "2024.tif"
    truth = np.load(maps / "first.npy") != np.load(maps / "last.npy")
    run("change", *pair, "--strata", maps / "strata.tif")
    run(
        *("sample", maps / "strata.tif", "--size", 900, "--min-per-class", 60),
        *("--out", maps / "sample.gpkg"),
    )
    label(maps / "sample.gpkg", maps)
    run(
        *("evaluate", maps / "strata.tif", "--labels", maps / "sample.gpkg"),
        *("--out", maps / "accuracy"),
    )

    found = json.loads(run("change", *pair, "--accuracy", maps / "accuracy", "--json").stdout)

    change = found["adjusted"][0]
    true_ha = truth.sum() / 100  # pixels of 10 m; UTM's scale is 0.2 % here
    assert change["name"] == "change"
    assert change["mapped_ha"] > 3 * true_ha
    assert abs(change["adjusted_ha"] - true_ha) < change["ci95_ha"] + 0.01 * true_ha
    assert change["ci95_ha"] < 0.6 * true_ha
    parts = [row for row in found["adjusted"] if row["name"] not in ("change", "no change")]
    assert sum(row["mapped_ha"] for row in parts) == pytest.approx(change["mapped_ha"])
    assert sum(row["adjusted_ha"] for row in parts) == pytest.approx(change["adjusted_ha"])
    assert "times as much" in " ".join(found["notes"])
    assert "label a sample" not in " ".join(found["notes"])


def test_a_sample_of_other_maps_is_refused(maps):
    other = write_map(maps / "2023.tif", with_errors(np.load(maps / "last.npy"), 0.1))

    with pytest.raises(UsageError, match="is not of these maps"):
        map_change([maps / "2020.tif", other], accuracy=maps / "accuracy")


def test_strata_are_no_change_the_largest_changes_and_all_others(maps):
    map_change([maps / "2020.tif", maps / "2024.tif"], strata=maps / "s.tif")

    with rasterio.open(maps / "s.tif") as file:
        strata, names = file.read(1), file.tags(1)
    first, last = (rasterio.open(maps / f"{year}.tif").read(1) for year in (2020, 2024))
    assert names["CLASS_0"] == "no change"
    assert names["CLASS_1"] == "other changes"
    assert "CLASS_2" not in names  # no pixel is unsure
    assert ((strata == 0) == (first == last)).all()
    assert names["CLASS_3"].endswith(" to crops")
    named = {int(key.removeprefix("CLASS_")) for key in names if key.startswith("CLASS_")}
    assert set(np.unique(strata).tolist()) == named
