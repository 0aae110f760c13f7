"""From a sample to answers to accuracy and areas; and what the page may ask."""

import json
from types import SimpleNamespace

import numpy as np
import pyogrio
import pytest
from affine import Affine
from click.testing import CliRunner
from pyproj import CRS, Transformer

from lulcmap.cli.program import main
from lulcmap.dataset import Glimpse
from lulcmap.errors import UsageError
from lulcmap.viewer.answers import AnswerStore
from tests.viewer.pictures import write_labelled_land

pytest.importorskip("rio_tiler")
testclient = pytest.importorskip("starlette.testclient")

from lulcmap.viewer.dates import DateFile, dates_path  # noqa: E402
from lulcmap.viewer.labelling import (  # noqa: E402
    _corners,
    label_routes,
    open_labelling,
    serve_labelling,
)
from lulcmap.viewer.server import make_app  # noqa: E402

NAMES = {1: "trees", 4: "crops", 6: "built"}


def run(*arguments, code=0):
    ran = CliRunner().invoke(main, [str(one) for one in arguments])
    assert ran.exit_code == code, ran.output
    return ran


@pytest.fixture
def land(tmp_path):
    path, values = write_labelled_land(tmp_path)
    return path, values


@pytest.fixture
def sample(land, tmp_path):
    out = tmp_path / "sample.gpkg"
    run("sample", land[0], "--size", 60, "--min-per-class", 15, "--out", out)
    return out


def truth_of(values, point):
    x, y = Transformer.from_crs(4326, 32632, always_xy=True).transform(point.lon, point.lat)
    return NAMES[int(values[int((6_400_000 - y) // 10), int((x - 500_000) // 10)])]


@pytest.fixture
def client(land, sample, socket_enabled):
    with (
        open_labelling(
            sample, map_path=land[0], interpreter="anna", further=["oil palm"]
        ) as labelling,
        testclient.TestClient(make_app(label_routes(labelling))) as client,
    ):
        client.labelling = labelling
        yield client


def post(client, path, **body):
    return client.post(path, content=json.dumps(body))


def answer(client, point, name, *, sure=True, comment="", map_shown=False):
    body = {"point": point, "class": name, "sure": sure, "comment": comment}
    return post(client, "/api/answers", **body, map_shown=map_shown)


def test_the_page_is_told_points_and_classes_and_not_the_map(client, land):
    told = client.get("/api/label").json()

    assert [one["name"] for one in told["classes"]][:2] == ["water", "trees"]
    assert told["classes"][-1]["name"] == "oil palm"
    assert set(told["points"][0]) == {"id", "lon", "lat", "square", "by_others", "answer", "dates"}
    assert len(told["points"]) == 60
    page = client.get("/").text
    assert 'src="page/label.js"' in page
    labels = [one["label"] for one in client.get("/api/site").json()["pictures"]]
    assert labels == ["land, true colour", "land, false colour"]


def test_a_look_is_kept_before_the_class_is_told(client, sample):
    point = client.labelling.store.points[0]

    told = post(client, "/api/looks", point=point.id).json()

    asked = client.get(f"/api/pixel?lon={point.lon}&lat={point.lat}").json()
    assert told["pixels"] == asked
    assert answer(client, point.id, "trees").json()["answer"]["map_shown"]
    assert post(client, "/api/looks", point=99_999).status_code == 400


def test_dates_that_were_kept_beside_the_sample_are_shown(land, sample, socket_enabled):
    first = read_points_of(sample)[0]
    image = np.full((4, 96, 96), 1000, np.uint16)
    with DateFile(dates_path(sample)) as file:
        file.keep(first, [Glimpse("2024-05-01", image, None)])

    with (
        open_labelling(sample, map_path=land[0], interpreter="anna") as labelling,
        testclient.TestClient(make_app(label_routes(labelling))) as client,
    ):
        points = client.get("/api/label").json()["points"]
        picture = client.get(f"/api/dates/{first.id}/0/1")
        none = client.get(f"/api/dates/{first.id}/1/1")

    assert [one["dates"] is not None for one in points].count(True) == 1
    assert points[0]["dates"]["days"] == [{"day": "2024-05-01", "clear": None}]
    assert picture.headers["content-type"] == "image/webp"
    assert picture.content[8:12] == b"WEBP"
    assert none.status_code == 400


def read_points_of(sample):
    with AnswerStore(sample) as store:
        return store.points


def test_the_square_is_the_pixel_of_the_map(client):
    to_map = Transformer.from_crs(4326, 32632, always_xy=True)
    for point in client.get("/api/label").json()["points"]:
        lats, lons = np.transpose(point["square"])
        xs, ys = to_map.transform(lons, lats)
        x, y = to_map.transform(point["lon"], point["lat"])
        np.testing.assert_allclose(xs - x, [-5, 5, 5, -5], atol=0.01)
        np.testing.assert_allclose(ys - y, [5, 5, -5, -5], atol=0.01)


@pytest.mark.parametrize(
    ("epsg", "transform", "size"),
    [
        (4326, Affine(0.001, 0, 179.85, 0, -0.001, -17.0), 0.001),
        (4326, Affine(0.001, 0, -180.15, 0, -0.001, -17.0), 0.001),
        (32760, Affine(100, 0, 800_000, 0, -100, 8_110_000), 0.00094),
    ],
)
def test_the_square_lies_around_its_point_on_both_sides_of_180_degrees(
    tmp_path, epsg, transform, size
):
    height, width = 20, 300
    to_world = Transformer.from_crs(epsg, 4326, always_xy=True)
    part = SimpleNamespace(crs=CRS.from_epsg(epsg), transform=transform, shape=(height, width))
    cols, rows = np.arange(width) + 0.5, np.full(width, 7.5)
    lon, lat = map(np.array, to_world.transform(*(transform * (cols, rows))))
    lon = (lon + 180) % 360 - 180  # as a sample has them
    assert lon.min() < -179.9 < 179.9 < lon.max()

    corners, inside = _corners(part, lon, lat)

    assert inside.all()
    np.testing.assert_allclose(corners[..., 1].mean(axis=1), lon, atol=1e-6)
    np.testing.assert_allclose(np.ptp(corners[..., 1], axis=1), size, rtol=0.05)


def test_an_answer_is_kept_undone_and_given_again(client, sample):
    assert answer(client, 1, "trees", comment=" at a road ").json()["answer"]["comment"] == (
        "at a road"
    )
    answer(client, 1, "crops", sure=False)
    held = client.get("/api/label").json()["points"][0]["answer"]
    assert (held["class"], held["sure"]) == ("crops", False)

    undone = post(client, "/api/undo").json()

    assert (undone["point"], undone["answer"]["class"]) == (1, "trees")
    assert post(client, "/api/undo").json() == {"point": 1, "answer": None}
    assert post(client, "/api/undo").json() == {"point": None, "answer": None}


@pytest.mark.parametrize(
    "body",
    [
        {"point": 1, "class": "lava", "sure": True, "comment": "", "map_shown": False},
        {"point": 99, "class": "trees", "sure": True, "comment": "", "map_shown": False},
        {"point": True, "class": "trees", "sure": True, "comment": "", "map_shown": False},
        {"point": 1, "class": "trees", "sure": "yes", "comment": "", "map_shown": False},
        {"point": 1, "class": "trees", "sure": True, "comment": "x" * 2001, "map_shown": False},
        {"point": 1, "class": ["trees"], "sure": True, "comment": "", "map_shown": False},
        {},
    ],
)
def test_answers_that_make_no_sense_are_refused_in_one_line(client, body):
    refused = client.post("/api/answers", content=json.dumps(body))

    assert refused.status_code == 400
    assert "\n" not in refused.json()["error"]
    assert client.labelling.store.answers() == []


@pytest.mark.parametrize("content", ["", "nothing", "[1]", "\xff"])
def test_what_is_no_json_object_is_refused(client, content):
    assert client.post("/api/answers", content=content.encode("latin-1")).status_code == 400


def test_drawings_are_kept_and_erased(client, sample):
    geometry = {"type": "Point", "coordinates": [9, 57]}
    drawn = post(
        client, "/api/drawn", geometry=geometry, sure=True, comment="", **{"class": "oil palm"}
    )
    assert drawn.json()[0]["geometry"]["coordinates"] == [9, 57]
    bad = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    for wrong in (bad, {"type": "Nonsense"}, {"type": "Point", "coordinates": ["a", 1]}):
        refused = post(
            client, "/api/drawn", geometry=wrong, sure=True, comment="", **{"class": "trees"}
        )
        assert refused.status_code == 400

    assert post(client, "/api/erase", number=drawn.json()[0]["number"]).json() == []


def test_another_site_cannot_answer(land, sample, socket_enabled):
    httpx = pytest.importorskip("httpx")
    body = {"point": 1, "class": "trees", "sure": True, "comment": "", "map_shown": False}
    with (
        open_labelling(sample, map_path=land[0], interpreter="anna") as labelling,
        serve_labelling(labelling) as address,
    ):
        own = address.rsplit("/", 2)[0]
        for origin, status in (("https://example.org", 403), (None, 403), (own, 200)):
            headers = {} if origin is None else {"Origin": origin}
            answered = httpx.post(f"{address}api/answers", json=body, headers=headers)
            assert answered.status_code == status
            assert len(labelling.store.answers()) == (status == 200)


def test_from_a_sample_to_answers_to_accuracy_and_areas(land, sample, tmp_path):
    path, values = land
    with AnswerStore(sample) as store:
        for point in store.points:
            name = truth_of(values, point)
            if point.id % 10 == 0:  # one of ten is wrong in the map
                name = "grass"
            store.answer(point.id, "anna", name, is_sure=True)
        wrong = sum(point.id % 10 == 0 for point in store.points)

    accuracy, table = tmp_path / "accuracy", tmp_path / "areas.csv"
    run("evaluate", path, "--labels", sample, "--out", accuracy)
    run("areas", path, "--accuracy", accuracy, "--out", table)

    with (accuracy / "points.csv").open() as file:
        rows = [line.split(",") for line in file.read().splitlines()[1:]]
    assert sum(row[-1] == "grass" for row in rows) == wrong
    assert "adjusted_ha" in table.read_text().splitlines()[0]


def test_majority_ties_and_not_sure_count_as_documented(land, sample, tmp_path):
    path, values = land
    with AnswerStore(sample) as store:
        for point in store.points:
            right = truth_of(values, point)
            other = "trees" if right != "trees" else "crops"
            store.answer(point.id, "anna", right, is_sure=True)
            if point.id == 1:  # a tie
                store.answer(point.id, "ben", other, is_sure=True)
            elif point.id == 2:  # overruled by a sure one
                store.answer(point.id, "ben", other, is_sure=False)
            elif point.id == 3:  # overruled by two
                store.answer(point.id, "ben", other, is_sure=True)
                store.answer(point.id, "carl", other, is_sure=True)
            elif point.id == 4:  # nobody can tell
                store.answer(point.id, "anna", None, is_sure=False)
        three = next(p for p in store.points if p.id == 3)

    ran = run("evaluate", path, "--labels", sample, "--out", tmp_path / "accuracy")

    assert "Points without a label, not counted: 2." in ran.output
    assert "Of these, 2 were answered without one class" in ran.output
    with (tmp_path / "accuracy" / "points.csv").open() as file:
        rows = [line.split(",") for line in file.read().splitlines()[1:]]
    assert len(rows) == 58
    wrong = [row for row in rows if row[-1] != row[-2]]
    assert len(wrong) == 1
    assert float(wrong[0][0]) == pytest.approx(three.lon, abs=1e-6)


def test_labels_by_hand_count_where_nobody_answered_in_the_page(land, sample, tmp_path):
    path, values = land
    with AnswerStore(sample) as store:
        points = {point.id: point for point in store.points}
    layer = pyogrio.read_dataframe(sample, layer="sample")
    layer["label"] = [truth_of(values, points[number]) for number in layer["id"]]
    pyogrio.write_dataframe(layer, sample, layer="sample")
    with AnswerStore(sample) as store:
        assert all(point.is_labelled for point in store.points)
        store.answer(1, "anna", "grass", is_sure=True)

    run("evaluate", path, "--labels", sample, "--out", tmp_path / "accuracy")

    with (tmp_path / "accuracy" / "points.csv").open() as file:
        rows = [line.split(",") for line in file.read().splitlines()[1:]]
    assert len(rows) == 60
    assert sum(row[-1] != row[-2] for row in rows) == 1


def test_a_sample_to_train_with_is_labelled_and_not_estimated_from(land, tmp_path):
    path, values = land
    out = tmp_path / "training.gpkg"
    run("sample", path, "--for", "training", "--size", 40, "--out", out)
    with AnswerStore(out) as store:
        for point in store.points:
            store.answer(point.id, "anna", truth_of(values, point), is_sure=True)

    refused = run("evaluate", path, "--labels", out, code=2)
    also = run("areas", path, "--accuracy", out, code=2)

    for ran in (refused, also):
        assert "40 of 40 labels chosen for training" in ran.output
        assert len(ran.output.strip().splitlines()) == 1


def test_agreement_is_printed_and_copies_are_merged(land, sample, tmp_path):
    copy = tmp_path / "ben.gpkg"
    copy.write_bytes(sample.read_bytes())
    for file, who, second in ((sample, "anna", "trees"), (copy, "ben", "crops")):
        with AnswerStore(file) as store:
            store.answer(1, who, "trees", is_sure=True)
            store.answer(2, who, second, is_sure=True)

    ran = run("label", sample, "--merge", copy, "--agreement")
    told = json.loads(run("label", sample, "--agreement", "--json").stdout)

    assert f"{copy}: 2 answers and drawings taken" in ran.output
    assert "2 of 60 points answered, 1 with a class; ties: 1." in ran.output
    assert "anna and ben: 50.0% of 2 points agreed, Cohen's kappa 0.00." in ran.output
    assert told["ties"] == [2]


def test_wrong_calls_end_in_one_line(land, sample, tmp_path):
    path, _ = land
    for arguments, told in [
        ((sample,), "Give --map"),
        ((sample, "--agreement", "--port", 8000), "--agreement opens no page"),
        ((sample, "--merge", sample, "--dates", 4), "--dates cannot be used here: --merge opens"),
        ((sample, "--merge", sample, "--json"), "--json is for --agreement"),
        ((sample, "--map", path, "--interpreter", " "), "--interpreter is ' '"),
        ((path, "--map", path), "cannot be read as a GeoPackage"),
        ((sample, "--map", path, "--basemap", "nonsense"), "--basemap"),
    ]:
        ran = run("label", *arguments, code=2)
        assert told in ran.output
        assert len(ran.output.strip().splitlines()) == 1


def test_a_map_elsewhere_or_without_a_picture_is_refused(land, sample, tmp_path):
    from tests.evaluation.test_sampling import write_map

    far = write_map(
        tmp_path / "far.tif", land[1], transform=Affine(10, 0, 600_000, 0, -10, 6_000_000)
    )
    (tmp_path / "alone").mkdir()
    alone = write_map(tmp_path / "alone" / "map.tif", land[1])
    composite = tmp_path / "land-composite.tif"

    with (
        pytest.raises(UsageError, match="nothing to look at"),
        open_labelling(sample, map_path=alone, interpreter="anna"),
    ):
        pass
    with (
        pytest.raises(UsageError, match=r"No point of .* lies on"),
        open_labelling(sample, map_path=far, composites=[composite], interpreter="anna"),
    ):
        pass
