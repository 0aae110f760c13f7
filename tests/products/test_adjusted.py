import csv

import numpy as np
import pytest
import shapely
from affine import Affine
from click.testing import CliRunner
from pyproj import Transformer

from lulcmap.cli.evaluate import evaluate
from lulcmap.errors import UsageError
from lulcmap.evaluation.points import SamplePoints
from lulcmap.evaluation.sampling import draw_sample
from lulcmap.products.adjusted import ReferenceSample
from lulcmap.products.areas import measure_areas
from tests.evaluation.test_olofsson import COUNTS, PIXELS
from tests.products.maps import write_map, write_regions

EQUAL_AREA = "+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84"
CLASSES = {1: "deforestation", 2: "forest gain", 3: "stable forest", 4: "stable non-forest"}


def write_labels(path, class_map, rows, cols, truth, *, transform, crs, km2):
    """A labelled sample as ``lulcmap sample`` draws it, of pixels of a map."""
    to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*(transform @ (cols + 0.5, rows + 0.5)))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lon", "lat", "label", "stratum", "stratum_area_km2", "pixel_area_m2"])
        for i, stratum in enumerate(class_map[rows, cols].tolist()):
            writer.writerow([lon[i], lat[i], truth[i], stratum, km2[stratum], 900])
    return path


def evaluated(class_map, labels, out):
    words = [str(class_map), "--labels", str(labels), "--out", str(out), "--overwrite"]
    CliRunner().invoke(evaluate, words, catch_exceptions=False)
    return out


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A map with the areas of Olofsson et al. (2014), table 8, and its sample of 640 points."""
    folder = tmp_path_factory.mktemp("paper")
    transform = Affine(30, 0, -60_000, 0, -30, 37_500)
    values = np.random.default_rng(0).permutation(np.repeat(np.uint8([1, 2, 3, 4]), PIXELS))
    values = values.reshape(2500, 4000)
    path = write_map(folder / "map.tif", values, crs=EQUAL_AREA, transform=transform, names=CLASSES)
    rng = np.random.default_rng(1)
    places, truth = [], []
    for value, counts in enumerate(COUNTS, 1):
        places.append(rng.choice(np.flatnonzero(values == value), counts.sum(), replace=False))
        truth += [CLASSES[k] for k, n in enumerate(counts.tolist(), 1) for _ in range(n)]
    rows, cols = np.divmod(np.concatenate(places), 4000)
    km2 = dict(zip(CLASSES, (0.0009 * PIXELS).tolist(), strict=True))
    labels = write_labels(
        folder / "s.csv", values, rows, cols, truth, transform=transform, crs=EQUAL_AREA, km2=km2
    )
    return path, evaluated(path, labels, folder / "accuracy")


def test_the_published_areas_are_found_to_the_printed_digits(paper):
    path, accuracy = paper

    table = measure_areas(path, accuracy=accuracy)

    assert [round(row.ha) for row in table.rows] == [18_000, 13_500, 288_000, 580_500]
    assert [(round(row.adjusted.ha), round(row.adjusted.ci95_ha)) for row in table.rows] == [
        (21_158, 6_158),
        (11_686, 3_756),
        (285_770, 15_510),
        (581_386, 16_282),
    ]
    assert table.notes == ()


def test_a_file_of_the_folder_stands_for_it(paper):
    path, accuracy = paper

    table = measure_areas(path, accuracy=accuracy / "metrics.json")

    assert round(table.rows[0].adjusted.ha) == 21_158


def test_a_region_that_is_the_whole_map_has_its_areas(paper, tmp_path):
    path, accuracy = paper
    regions = write_regions(
        tmp_path / "r.gpkg",
        [shapely.box(-60_000, -37_500, 60_000, 37_500), shapely.box(50_000, 0, 59_000, 9_000)],
        crs=EQUAL_AREA,
        name=["whole", "small"],
    )

    table = measure_areas(path, regions=regions, accuracy=accuracy)

    groups = table.by_region()
    assert [round(row.adjusted.ha, -1) for row in groups["whole"]] == [
        *(21_160, 11_690, 285_770, 581_390)
    ]
    assert {row.adjusted.ha for row in groups["small"]} == {None}
    assert groups["small"][0].adjusted.note.endswith("labelled points; 30 are needed")
    assert "Error-adjusted areas are given for 1 of 2 regions; not for small (" in " ".join(
        table.notes
    )


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    """A map of three classes in two halves, its truth, and how to draw and label samples of it."""
    folder = tmp_path_factory.mktemp("country")
    rng = np.random.default_rng(7)
    transform = Affine(30, 0, 0, 0, -30, 0)
    halves = [rng.choice(3, (300, 200), p=p) for p in ([0.6, 0.3, 0.1], [0.2, 0.3, 0.5])]
    truth = np.hstack(halves)
    wrong = rng.random(truth.shape) < np.where(np.arange(400) < 200, 0.25, 0.08)
    values = np.where(wrong, rng.integers(0, 3, truth.shape), truth).astype(np.uint8)
    values[:4, :4] = 3  # so rare that no sample has it
    path = write_map(folder / "map.tif", values, crs=EQUAL_AREA, transform=transform)
    regions = write_regions(
        folder / "r.gpkg",
        [shapely.box(0, -9000, 6000, 0), shapely.box(6000, -9000, 12_000, 0)],
        crs=EQUAL_AREA,
        name=["west", "east"],
    )
    return folder, path, regions, values, truth, transform


def draw(country, sizes, seed):
    """Points of the rows and columns that a stratified sample has, and their true classes."""
    _, _, _, values, truth, _ = country
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(np.flatnonzero(values == value), size, replace=False)
        for value, size in sizes.items()
    ]
    rows, cols = np.divmod(np.concatenate(drawn), 400)
    return rows, cols, truth[rows, cols]


def test_intervals_of_regions_hold_the_truth_in_95_of_100_samples(country):
    _, path, regions, values, truth, transform = country
    mapped = measure_areas(path, regions=regions)
    square_metres = np.zeros((2, 255))
    for row in mapped.rows:
        square_metres[["west", "east"].index(row.region), row.class_id] = row.ha * 1e4
    expected = {
        (region, value): 0.09 * np.count_nonzero(half == value)
        for region, half in ((0, truth[:, :200]), (1, truth[:, 200:]))
        for value in range(3)
    }
    sizes = {0: 200, 1: 150, 2: 150, 3: 2}
    km2 = {value: 0.0009 * np.count_nonzero(values == value) for value in range(4)}
    to_degrees = Transformer.from_crs(EQUAL_AREA, 4326, always_xy=True)
    named = mapped.regions

    found = {key: [] for key in expected}
    for seed in range(200):
        rows, cols, labels = draw(country, sizes, seed)
        lon, lat = to_degrees.transform(*(transform @ (cols + 0.5, rows + 0.5)))
        at = values[rows, cols]
        points = SamplePoints(
            path, lon, lat, at.astype(str), np.array([km2[v] for v in at.tolist()]),
            np.full(len(lon), 900.0), at, labels,
        )  # fmt: skip
        sample = ReferenceSample(
            points, at.astype(int), labels, ("0", "1", "2", "3"), at.astype(int), (0, 1, 2, 3),
            dict(enumerate(["water", "trees", "grass", "flooded_vegetation"])),
        )  # fmt: skip
        estimates, notes = sample.adjust(named, square_metres)
        assert notes == []
        for region, value in expected:
            found[region, value].append(estimates[region][value])

    for key, truth_ha in expected.items():
        values_ha = np.array([one.ha for one in found[key]])
        margins = np.array([one.ci95_ha for one in found[key]])
        assert values_ha.mean() == pytest.approx(truth_ha, rel=0.02)
        assert margins.mean() == pytest.approx(1.96 * values_ha.std(), rel=0.2)
        assert 0.9 < (np.abs(values_ha - truth_ha) <= margins).mean() < 0.99
    rare = estimates[0][3]
    assert (rare.ha, rare.ci95_ha, rare.note) == (0, None, "no labelled point of this class")
    assert estimates[0][0].note == ""


def sample_of(country, path, rows, cols):
    """A labelled sample of some pixels of the country."""
    *_, values, truth, transform = country
    km2 = {value: 0.0009 * np.count_nonzero(values == value) for value in range(4)}
    labels = truth[rows, cols]
    return write_labels(
        path, values, rows, cols, labels, transform=transform, crs=EQUAL_AREA, km2=km2
    )


def test_few_points_in_a_rare_class_are_taken_from_the_whole_map(country, tmp_path):
    _, path, _, values, *_ = country
    rows, cols, _ = draw(country, {0: 200, 1: 150, 2: 150}, 1)
    kept = ~((values[rows, cols] == 2) & (cols < 200))
    rows = np.concatenate([rows[kept], np.arange(4)])  # the rare class, in the first column
    cols = np.concatenate([cols[kept], np.zeros(4, int)])
    sample = sample_of(country, tmp_path / "s.csv", rows, cols)
    accuracy = evaluated(path, sample, tmp_path / "accuracy")
    regions = write_regions(
        tmp_path / "r.gpkg",
        [shapely.box(30, -9000, 12_000, 0), shapely.box(30, -8970, 6000, 0)],
        crs=EQUAL_AREA,
        name=["most", "west"],
    )

    groups = measure_areas(path, regions=regions, accuracy=accuracy).by_region()

    most = {row.name: row.adjusted for row in groups["most"]}
    assert most["water"].ha > 0
    assert most["water"].note == "points of flooded_vegetation from the whole map"
    assert {row.adjusted.note for row in groups["west"] if row.class_id is not None} == {
        "fewer than 2 points in grass, flooded_vegetation"
    }


def test_the_sample_must_be_of_this_map_and_these_classes(country, paper, tmp_path):
    _, path, _, values, _, transform = country
    rows, cols, _ = draw(country, {0: 50, 1: 50, 2: 50, 3: 5}, 1)
    sample = sample_of(country, tmp_path / "s.csv", rows, cols)
    accuracy = evaluated(path, sample, tmp_path / "accuracy")
    other = write_map(tmp_path / "other.tif", (values + 1) % 4, crs=EQUAL_AREA, transform=transform)
    larger = write_map(
        tmp_path / "larger.tif",
        np.vstack([values, values[:50]]),
        crs=EQUAL_AREA,
        transform=transform,
    )

    rows, cols, _ = draw(country, {0: 50, 1: 50, 2: 50}, 1)
    sample = sample_of(country, tmp_path / "fewer.csv", rows, cols)
    fewer = evaluated(path, sample, tmp_path / "fewer")

    assert measure_areas(path, accuracy=accuracy).rows[0].adjusted.ha > 0
    with pytest.raises(UsageError, match=r"has no point on flooded_vegetation, which .*map.tif"):
        measure_areas(path, accuracy=fewer)
    with pytest.raises(UsageError, match=r"points.csv is of another map: 155 of its 155 points"):
        measure_areas(other, accuracy=accuracy)
    with pytest.raises(
        UsageError, match=r"of another map: there, water has .* km2; in .*larger.tif"
    ):
        measure_areas(larger, accuracy=accuracy)
    with pytest.raises(UsageError, match=r"classes that .*map.tif has not: flooded_veg.*water"):
        measure_areas(paper[0], accuracy=accuracy)


def test_a_sample_of_another_map_serves_the_whole_but_no_region(country, tmp_path):
    _, path, regions, values, truth, transform = country
    drawn_of = np.where(values == 3, 0, values)  # last year's map
    km2 = {value: 0.0009 * np.count_nonzero(drawn_of == value) for value in range(3)}
    rng = np.random.default_rng(3)
    places = np.concatenate(
        [rng.choice(np.flatnonzero(drawn_of == 2 - value), 80) for value in range(3)]
    )
    rows, cols = np.divmod(places, 400)
    moved = (2 - drawn_of).astype(np.uint8)
    sample = write_labels(
        tmp_path / "s.csv", moved, rows, cols, truth[rows, cols], transform=transform,
        crs=EQUAL_AREA, km2={2 - value: area for value, area in km2.items()},
    )  # fmt: skip
    accuracy = evaluated(path, sample, tmp_path / "accuracy")

    whole = measure_areas(path, accuracy=accuracy)
    split = measure_areas(path, accuracy=accuracy, regions=regions)

    expected = 0.09 * np.count_nonzero(truth == 0)
    assert whole.rows[0].adjusted.ha == pytest.approx(expected, rel=0.25)
    assert {row.adjusted.note for row in split.rows} == {"the sample was drawn of another map"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "has no points.csv: it is not what lulcmap evaluate writes for a sample"),
        ("lon,lat\n1,2\n", "cannot be read as the points of an evaluation"),
        (
            "lon,lat,stratum,stratum_area_km2,pixel_area_m2,mapped,true\n1,2,0,x,100,water,water\n",
            "cannot be read as the points of an evaluation",
        ),
        ("lon,lat,stratum,stratum_area_km2,pixel_area_m2,mapped,true\n", "has no points"),
        (
            "lon,lat,stratum,stratum_area_km2,pixel_area_m2,mapped,true\n10,52,0,inf,1,water,water\n",
            "areas that are no numbers",
        ),
    ],
)
def test_a_folder_that_is_no_evaluation_of_a_sample_is_refused(country, tmp_path, text, words):
    if text is not None:
        (tmp_path / "points.csv").write_text(text)

    with pytest.raises(UsageError, match=words):
        measure_areas(country[1], accuracy=tmp_path)


def test_the_points_of_a_drawn_sample_are_kept_with_the_evaluation(country, tmp_path):
    path = country[1]
    drawn = draw_sample(path, size=120, min_per_class=10)
    labels = tmp_path / "s.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lon", "lat", "label", "stratum", "stratum_area_km2", "pixel_area_m2"])
        for i, s in enumerate(drawn.stratum.tolist()):
            one = drawn.strata[s]
            label = one.name if i else ""  # the first point was left empty
            writer.writerow(
                [drawn.lon[i], drawn.lat[i], label, one.value, one.km2, drawn.pixel_m2[i]]
            )

    accuracy = evaluated(path, labels, tmp_path / "accuracy")

    with (accuracy / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(drawn.lon) - 1
    assert {row["mapped"] == row["true"] for row in rows} == {True}
    table = measure_areas(path, accuracy=accuracy)
    assert [row.adjusted.ha for row in table.rows] == pytest.approx([row.ha for row in table.rows])
    assert {row.adjusted.note for row in table.rows} == {
        "its points show no error, so the interval is unknown"
    }
