import numpy as np
import pytest
import shapely

from lulcmap.adaptation.labels import read_labels
from lulcmap.errors import UsageError
from lulcmap.evaluation import load_features
from lulcmap.legend import LandCover
from tests.support.adaptable import write_labels

LEGEND = (LandCover(0, "water", "419BDF"), LandCover(1, "flooded_vegetation", "7A87C6"))


def points(count):
    return shapely.points(9 + np.arange(count) / 100, np.full(count, 45.0))


def test_classes_are_names_or_ids_and_rows_without_one_are_left_out(tmp_path):
    values = np.array(["water", "1", " 1.0 ", "Flooded vegetation", None, "  "], object)

    labels = read_labels(write_labels(tmp_path / "a.gpkg", points(6), class_=values), LEGEND)

    assert labels.classes.tolist() == ["water", *["flooded_vegetation"] * 3]
    assert labels.left_out == {"without a class": 2}


def test_the_column_class_counts_before_label(tmp_path):
    path = write_labels(
        tmp_path / "a.gpkg",
        points(2),
        class_=np.array(["water", None], object),
        label=np.array(["1", "1"], object),
    )

    assert read_labels(path, LEGEND).classes.tolist() == ["water"]


def test_points_answered_by_hand_beside_the_browser_are_read_as_evaluate_reads_them(tmp_path):
    path = write_labels(
        tmp_path / "a.gpkg",
        points(3),
        class_=np.array(["water", None, ""], object),
        label=np.array(["1", "1", None], object),
        interpreter=np.array(["ann", None, None], object),
        answered_at=np.array(["2024-01-01T00:00:00Z", None, None], object),
    )

    labels = read_labels(path, LEGEND)

    given = [one or "" for one in load_features(path).labels(None)]
    assert given == ["water", "1", ""]
    assert labels.classes.tolist() == ["water", "flooded_vegetation"]
    assert labels.left_out == {"without a class": 1}


def test_rows_that_are_not_sure_are_left_out(tmp_path):
    path = write_labels(
        tmp_path / "a.gpkg",
        points(3),
        class_=np.array([0, 1, 1]),
        sure=np.array([True, False, True]),
    )

    labels = read_labels(path, LEGEND)

    assert labels.classes.tolist() == ["water", "flooded_vegetation"]
    assert labels.left_out == {"not sure": 1}


@pytest.mark.parametrize(
    "sure", [[1.0, 0.0, np.nan], np.array(["1.0", " 0.0", None], object), [1, 0, 2]]
)
def test_any_zero_is_not_sure_and_an_empty_one_says_nothing(tmp_path, sure):
    columns = {"class_": np.array([0, 1, 1]), "sure": np.array(sure)}
    path = write_labels(tmp_path / "a.gpkg", points(3), **columns)

    labels = read_labels(path, LEGEND)

    assert labels.classes.tolist() == ["water", "flooded_vegetation"]
    assert labels.left_out == {"not sure": 1}


def test_not_sure_is_read_of_a_geopackage_of_booleans_with_one_missing(tmp_path):
    import sqlite3

    path = write_labels(
        tmp_path / "a.gpkg",
        points(3),
        class_=np.array([0, 1, 1]),
        sure=np.array([True, False, True]),
    )
    with sqlite3.connect(path) as file:
        for trigger in file.execute("select name from sqlite_master where type='trigger'"):
            file.execute(f'drop trigger "{trigger[0]}"')  # they call functions of GDAL
        file.execute("update labels set sure = null where rowid = 3")

    assert read_labels(path, LEGEND).left_out == {"not sure": 1}


@pytest.mark.parametrize("place", ["nan,nan", "inf,47", "9,-inf", "9,90.1", "500000,5000000"])
def test_rows_outside_the_globe_are_left_out(tmp_path, place):
    path = tmp_path / "a.csv"
    path.write_text(f"lon,lat,class\n9.0,45.0,water\n{place},water\n")

    labels = read_labels(path, LEGEND)

    assert shapely.get_coordinates(labels.shapes).tolist() == [[9.0, 45.0]]
    assert sum(labels.left_out.values()) == 1


def test_points_that_cannot_be_reprojected_are_left_out(tmp_path):
    shapes = shapely.points([500_000.0, np.inf], [5_000_000.0, np.inf])
    path = write_labels(tmp_path / "a.gpkg", shapes, crs="EPSG:32632", class_=np.array([0, 1]))

    assert read_labels(path, LEGEND).left_out == {"outside the globe": 1}


@pytest.mark.parametrize(
    ("box", "crs"),
    [
        ((-180, -90, 180, 90), "EPSG:4326"),
        ((9, 45, 9.1, 46), "EPSG:4326"),
        ((300_000, 5_000_000, 700_000, 5_001_000), "EPSG:32632"),
        ((-180, -90, 180, 90), "EPSG:4258"),
    ],
)
def test_a_polygon_of_a_region_is_refused(tmp_path, box, crs):
    shapes = [shapely.box(*box)]
    path = write_labels(tmp_path / "a.gpkg", shapes, crs=crs, class_=np.array([0]))

    with pytest.raises(UsageError, match=r"a polygon that spans [0-9,]+ km"):
        read_labels(path, LEGEND)


def test_several_interpreters_decide_by_majority_and_a_tie_is_no_label(tmp_path):
    path = write_labels(
        tmp_path / "a.gpkg",
        points(1)[[0] * 5],
        class_=np.array([0, 1, 1, 0, 1]),
        id=np.array([1, 1, 1, 2, 2]),
        interpreter=np.array(["a", "b", "c", "a", "b"], object),
    )

    labels = read_labels(path, LEGEND)

    assert labels.classes.tolist() == ["flooded_vegetation"]
    assert labels.left_out == {"interpreters disagree": 1}


def test_all_layers_with_classes_are_read_in_their_own_crs(tmp_path):
    path = write_labels(tmp_path / "a.gpkg", points(2), "sample", class_=np.array([0, 0]))
    square = [shapely.box(500_000, 5_000_000, 500_100, 5_000_100)]
    write_labels(
        path, square, "drawn", "EPSG:32632", append=True, class_=np.array(["water"], object)
    )
    write_labels(path, points(1), "other", append=True, notes=np.array(["x"], object))

    labels = read_labels(path, LEGEND)

    assert len(labels) == 3
    assert labels.shapes[2].centroid.distance(shapely.Point(9.0006, 45.154)) < 0.01


def test_an_unknown_class_is_refused_with_the_way_to_add_it(tmp_path):
    path = write_labels(
        tmp_path / "a.gpkg", points(2), class_=np.array(["water", "oil_palm"], object)
    )

    with pytest.raises(UsageError, match=r"'oil_palm' \(1\).*--new-class oil_palm"):
        read_labels(path, LEGEND)
    assert read_labels(path, LEGEND, new_classes=["oil_palm"]).classes[1] == "oil_palm"


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32632"])
def test_multipoints_of_one_part_are_points(tmp_path, crs):
    place = (9.0, 45.0) if crs == "EPSG:4326" else (500_000.0, 4_982_950.4)
    alone, two = shapely.MultiPoint([place]), shapely.MultiPoint([place, (9.5, 45.0)])
    path, other = tmp_path / "a.gpkg", tmp_path / "b.gpkg"
    for one, shapes in ((path, [alone]), (other, [two])):
        write_labels(one, shapes, crs=crs, class_=np.array([1]))

    labels = read_labels(path, LEGEND)

    assert shapely.get_type_id(labels.shapes).tolist() == [0]
    assert np.allclose(shapely.get_coordinates(labels.shapes), [[9.0, 45.0]], atol=1e-4)
    with pytest.raises(UsageError, match="Split multipoints"):
        read_labels(other, LEGEND)


def test_a_file_without_a_class_is_refused(tmp_path):
    path = write_labels(tmp_path / "a.gpkg", points(1), kind=np.array([0]))

    with pytest.raises(UsageError, match="no column class; it has kind"):
        read_labels(path, LEGEND)


@pytest.mark.parametrize(
    ("design", "expected"), [(["random", ""], True), (["random", "training"], False)]
)
def test_a_random_sample_is_weighted_by_its_strata_and_another_is_not(tmp_path, design, expected):
    path = write_labels(
        tmp_path / "a.gpkg",
        points(4),
        class_=np.array([0, 0, 1, 1]),
        design=np.array([*design, "random", "random"], object),
        stratum=np.array([3, 3, 3, 5]),
        stratum_area_km2=np.array([30.0, 30.0, 30.0, 2.0]),
    )

    labels = read_labels(path, LEGEND)

    assert labels.is_random is expected
    weights = np.array([10, 10, 10, 2]) / 8 if expected else np.ones(4)
    assert np.allclose(labels.weights, weights)


def test_a_file_as_labelling_leaves_it_is_a_random_sample_although_nothing_was_drawn(tmp_path):
    path = write_labels(
        tmp_path / "a.gpkg",
        points(3),
        "sample",
        id=np.arange(3),
        class_=np.array(["water", "flooded_vegetation", None], object),
        interpreter=np.array(["ann; ben", "ann", None], object),
        sure=np.array([True, True, False]),
        stratum=np.array([3, 5, 5]),
        stratum_area_km2=np.array([30.0, 10.0, 10.0]),
    )
    columns = {"class_": np.array([], object), "sure": np.array([], bool)}
    write_labels(path, np.array([], object), "drawn", append=True, **columns)

    labels = read_labels(path, LEGEND)

    assert labels.is_random
    assert np.allclose(labels.weights, [1.5, 0.5])


def test_a_file_without_any_answer_is_refused(tmp_path):
    path = write_labels(tmp_path / "a.gpkg", points(2), class_=np.array([None, None], object))

    with pytest.raises(UsageError, match=r"no label to use \(2 without a class\)"):
        read_labels(path, LEGEND)


def test_a_table_of_points_is_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("lon,lat,class\n9.0,45.0,water\n9.1,45.0,1\n")

    labels = read_labels(path, LEGEND)

    assert labels.classes.tolist() == ["water", "flooded_vegetation"]
    assert labels.shapes[1].x == 9.1


def test_lines_are_refused(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": '
        '{"class": 0}, "geometry": {"type": "LineString", "coordinates": [[9, 45], [9, 46]]}}]}'
    )

    with pytest.raises(UsageError, match="points and polygons"):
        read_labels(path, LEGEND)
