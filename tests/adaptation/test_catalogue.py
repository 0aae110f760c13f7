import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import shapely

from lulcmap import map_area
from lulcmap.adaptation.catalogue import CatalogImagery
from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.seen import see_labels
from lulcmap.adaptation.windows import KeptComposite
from lulcmap.catalog import make_period
from lulcmap.errors import UsageError
from lulcmap.geo import load_area
from lulcmap.model import open_features
from lulcmap.planning import Settings
from lulcmap.simulation import Country, simulate
from tests.support.adaptable import model_bytes


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    """A small country, a model, and the composite that a map of it keeps."""
    folder = tmp_path_factory.mktemp("country")
    simulated = simulate(folder, Country(seed=3, height=512, width=512, s2_dates=3, s1_dates=0))
    model = folder / "small.onnx"
    model.write_bytes(model_bytes())
    map_area(
        *(simulated.aoi, folder / "map.tif"),
        year=2024,
        catalog=simulated.items,
        model=model,
        save_composite=True,
    )
    return simulated, folder


@pytest.fixture(scope="module")
def imagery(country):
    simulated, _ = country
    area = load_area(str(simulated.aoi))
    settings = Settings.of({"catalog": str(simulated.items)})
    return CatalogImagery(area.name, area.polygon, make_period(year=2024), settings)


@pytest.fixture(scope="module")
def labels(country):
    """Points all over the country's rectangle, with the truth; some lie outside its border."""
    simulated, folder = country
    with rasterio.open(simulated.truth) as file:
        truth, rows, cols = file.read(1), *np.random.default_rng(0).integers(0, 512, (2, 150))
        xs, ys = rasterio.transform.xy(file.transform, rows, cols)
        lon, lat = rasterio.warp.transform(file.crs, "EPSG:4326", xs, ys)
    names = np.where(truth[rows, cols] % 2 == 0, "water", "trees")
    shapes = np.asarray(shapely.points(lon, lat))
    return Labels(folder / "none.gpkg", shapes, names, np.ones(150), is_random=False)


def test_a_catalogue_shows_what_a_kept_composite_shows(country, imagery, labels):
    _, folder = country
    network = open_features(folder / "small.onnx")
    kept = KeptComposite.open(folder / "map-composite.tif")

    of_catalogue, first = see_labels(network, labels, [imagery])
    of_file, second = see_labels(network, labels, [kept])

    assert 60 < len(first) < 150
    both = np.intersect1d(first, second)
    assert len(both) > 0.95 * len(first)
    one, other = (
        seen.features[np.isin(numbers[seen.label], both)]
        for seen, numbers in ((of_catalogue, first), (of_file, second))
    )
    # cells on the border see land beyond it in the catalogue, and mirrored land in the file
    assert np.isclose(one, other).all(1).mean() > 0.9


def test_labels_outside_the_area_are_left_out(imagery, labels, country):
    _, folder = country
    moved = replace(labels, shapes=shapely.transform(labels.shapes, lambda xy: xy + 5))

    with pytest.raises(UsageError, match=r"No label of .* has data"):
        see_labels(open_features(folder / "small.onnx"), moved, [imagery])


def test_the_command_reads_a_catalogue(country, labels, tmp_path):
    from click.testing import CliRunner

    from lulcmap.cli import main
    from tests.support.adaptable import write_labels

    simulated, folder = country
    path = write_labels(
        tmp_path / "labels.gpkg", labels.shapes, class_=labels.classes.astype(object)
    )

    done = CliRunner().invoke(
        main,
        [
            *("adapt", "--model", str(folder / "small.onnx"), "--labels", str(path)),
            *("--aoi", str(simulated.aoi), "--year", "2024", "--catalog", str(simulated.items)),
            *("--out", str(tmp_path / "mine.onnx"), "--s1", "off", "--json"),
        ],
    )

    assert done.exit_code in (0, 1), done.output  # the features may tell water from trees, or not
    told = json.loads(done.stdout)
    assert 60 < told["labels"] < 150
    assert told["left_out"] == {"no imagery": 150 - told["labels"]}
    assert (told["out"] is not None) == (tmp_path / "mine.onnx").exists()
