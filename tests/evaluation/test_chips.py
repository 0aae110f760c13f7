import json
from dataclasses import replace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import rasterio
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn import metrics
from sklearn.calibration import calibration_curve

from lulcmap.cli.evaluate import evaluate
from lulcmap.dataset.chips import Chip, Dataset
from lulcmap.dataset.votes import SCHEMES
from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation.calibration import BINS, Reliability
from lulcmap.evaluation.counts import Counts, bootstrap_intervals
from lulcmap.evaluation.crosswalk import SHIPPED_CROSSWALKS
from lulcmap.evaluation.evaluate import evaluate_model
from lulcmap.evaluation.onnx_predictor import classify_chip, open_onnx_predictor
from lulcmap.evaluation.regions import Regions, cell_name, load_regions
from lulcmap.evaluation.results import check_evaluation_folder, write_evaluation
from lulcmap.legend import CLASSES
from lulcmap.model.contract import S1_INPUT, S2_INPUT
from lulcmap.model.session import open_session
from tests.support.stubs import composites, contract, make_model

# --- what is counted -------------------------------------------------------------------------


@pytest.fixture
def counts():
    rng = np.random.default_rng(4)
    counts = Counts(9)
    for number in range(30):
        truth = rng.integers(0, 9, (20, 20)).astype(np.uint8)
        good = rng.random(truth.shape) < rng.uniform(0.3, 0.9)
        predicted = np.where(good, truth, rng.integers(0, 9, truth.shape)).astype(np.uint8)
        truth[0], predicted[1] = 255, 255
        counts.add(f"{number}", truth, predicted, at=(number, 50.0))
    return counts


def test_figures_equal_scikit_learn_with_ignored_and_unmapped_pixels():
    rng = np.random.default_rng(9)
    truth = rng.choice(np.uint8([0, 1, 2, 255]), (40, 50))
    predicted = rng.choice(np.uint8([0, 1, 2, 255]), truth.shape)
    counts = Counts(3)
    for row in range(0, 40, 10):
        counts.add(f"{row % 20}", truth[row : row + 10], predicted[row : row + 10], at=(0, 0))
    counted = (truth != 255) & (predicted != 255)
    pair = truth[counted], predicted[counted]

    np.testing.assert_array_equal(counts.matrix, metrics.confusion_matrix(*pair))
    assert counts.unmapped == np.count_nonzero((truth != 255) & (predicted == 255))
    assert len(counts.places) == 2


def test_intervals_are_from_resampled_places_and_reproducible(counts):
    intervals, repeated = (
        bootstrap_intervals(counts, draws=300, seed=1),
        bootstrap_intervals(counts, draws=300, seed=1),
    )

    rng = np.random.default_rng(77)
    places = list(counts.places.values())
    values = []
    for _ in range(2000):
        matrix = sum(places[i].matrix for i in rng.integers(0, 30, 30))
        values.append(np.trace(matrix) / matrix.sum())
    np.testing.assert_allclose(intervals["oa"], np.percentile(values, (2.5, 97.5)), atol=0.012)
    np.testing.assert_array_equal(intervals["class_iou"], repeated["class_iou"])
    assert intervals["class_iou"].shape == (2, 9)
    # the pixels alone would promise ten times less
    assert np.diff(intervals["oa"]) > 4 * 1.96 * np.sqrt(0.25 / counts.matrix.sum())


def test_one_place_gives_no_interval():
    counts = Counts(2)
    counts.add("here", np.uint8([0, 1]), np.uint8([0, 1]), at=(0, 0))

    assert bootstrap_intervals(counts) is None


def test_a_class_in_two_places_of_four_has_an_interval_and_one_in_a_single_place_none():
    counts = Counts(4)
    for number in range(4):
        truth = np.uint8([0, 0, number < 2, 2 * (number == 0)])
        counts.add(f"{number}", truth, np.uint8([0, 0, 0, 0]), at=(0, 0))

    intervals = bootstrap_intervals(counts, draws=200)

    assert np.isfinite(intervals["class_recall"][:, :2]).all()
    assert np.isnan(intervals["class_recall"][:, 2]).all()  # in one place
    assert np.isnan(intervals["class_iou"][:, 3]).all()  # in none


# --- calibration -----------------------------------------------------------------------------


def test_the_calibration_error_is_guos_sum_over_15_bins():
    rng = np.random.default_rng(0)
    sure, hit = rng.random(5000), rng.random(5000) < 0.6
    sure[:3] = 0, 1, 1 / 15

    reliability = Reliability.of(sure[:2000], hit[:2000]) + Reliability.of(sure[2000:], hit[2000:])

    error = 0
    for m in range(15):
        here = (sure > m / 15) & (sure <= (m + 1) / 15)
        here |= (m == 0) & (sure == 0)
        error += here.sum() / 5000 * abs(hit[here].mean() - sure[here].mean())
    assert reliability.ece == pytest.approx(error)
    accuracies, confidences = calibration_curve(hit[3:], sure[3:], n_bins=15)
    np.testing.assert_allclose(reliability.accuracies, accuracies, atol=0.01)
    np.testing.assert_allclose(reliability.confidences, confidences, atol=0.01)


def test_a_perfectly_calibrated_model_has_no_error_and_no_pixels_no_value():
    assert Reliability.of(np.array([1.0, 1.0]), np.array([True, True])).ece == 0
    assert np.isnan(Reliability.empty().ece)
    assert len(Reliability.empty().accuracies) == BINS


# --- regions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lon", "lat", "name"),
    [
        (9.8, 57.2, "N30-60 E0-30"),
        (-70.7, -33.4, "S30-60 W60-90"),
        (-0.1, -0.1, "S0-30 W0-30"),
        (180.0, 90.0, "N60-90 W150-180"),
        (179.9, -90.0, "S60-90 E150-180"),
    ],
)
def test_a_place_is_in_the_cell_of_30_degrees_around_it(lon, lat, name):
    assert cell_name(lon, lat) == name


def test_regions_are_polygons_of_the_users_in_any_crs(tmp_path):
    path = tmp_path / "regions.geojson"
    square = [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]
    feature = {
        "type": "Feature",
        "properties": {"biome": "forest"},
        "geometry": {"type": "Polygon", "coordinates": square},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))

    regions = load_regions(path, column="biome")

    assert (regions.of(5, 5), regions.of(15, 5)) == ("forest", "none")
    with pytest.raises(UsageError, match="no column 'name'; it has biome"):
        load_regions(path, column="name")


def test_regions_may_lie_past_180(tmp_path):
    path = tmp_path / "regions.geojson"
    square = [[[170, 0], [190, 0], [190, 10], [170, 10], [170, 0]]]
    feature = {
        "type": "Feature",
        "properties": {"biome": "reef"},
        "geometry": {"type": "Polygon", "coordinates": square},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))

    regions = load_regions(path, column="biome")

    assert [regions.of(lon, 5) for lon in (175, -175, -165, 5)] == ["reef", "reef", "none", "none"]


# --- the shipped path: a model file ----------------------------------------------------------


def upsampled(logits, stride):
    size = (logits.shape[-2] * stride, logits.shape[-1] * stride)
    tensor = torch.from_numpy(logits)
    return torch.nn.functional.interpolate(tensor, size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("shape", [(62, 62), (64, 64), (40, 61)])
def test_a_chip_is_seen_whole_mirrored_at_its_end_and_cropped(tmp_path, shape):
    session = open_session(make_model(tmp_path / "model.onnx", contract(multiple=32)), device="cpu")
    s2, s1 = composites(np.random.default_rng(1), shape)
    ends = [(0, 0), *((0, 64 - side) for side in shape)]
    padded2, padded1 = (np.pad(image, ends, mode="reflect") for image in (s2, s1))

    classes, confidence = classify_chip(session, s2, s1)

    expected = upsampled(session.run(padded2[None], padded1[None]), 4).softmax(0)
    expected = expected[:, : shape[0], : shape[1]].numpy()
    assert (classes == expected.argmax(0)).mean() > 0.9999
    np.testing.assert_allclose(confidence, expected.max(0), atol=0.0051)


def test_a_chip_larger_than_a_window_is_blended_as_a_map(tmp_path):
    agreed = contract(multiple=32)
    session = open_session(make_model(tmp_path / "model.onnx", agreed), device="cpu")
    s2, s1 = composites(np.random.default_rng(1), (130, 100))

    classes, _ = classify_chip(session, s2, s1)

    # one convolution without overlap sees no further than its cell: windows change nothing
    expected = upsampled(session.run(s2[None, :, :128], s1[None, :, :128]), 4).argmax(0).numpy()
    inner = np.s_[4:100, 4:96]  # what is interpolated with the nodata around it is left out
    assert (classes[inner] == expected[inner]).all()


def test_classes_are_places_in_the_models_own_legend_and_missing_pixels_255(tmp_path):
    agreed = contract(classes=("crops", "water"), colours=("E49635", "419BDF"))
    session = open_session(make_model(tmp_path / "model.onnx", agreed), device="cpu")
    s2, s1 = composites(np.random.default_rng(1), (64, 64))
    s2[:, :8], s1[:, :8] = 0, -32768

    classes, _ = classify_chip(session, s2, s1)

    assert (classes[:8] == 255).all()
    assert set(np.unique(classes[8:])) == {0, 1}


def test_a_balanced_prior_names_rare_classes_more_often(tmp_path):
    shares = np.array([0.3, 0.25, 0.2, 0.1, 0.08, 0.04, 0.02, 0.01, 0.0])
    path = make_model(tmp_path / "model.onnx", contract(multiple=32, prior=tuple(shares.tolist())))
    session = open_session(path, device="cpu")
    s2, s1 = composites(np.random.default_rng(1), (64, 64))

    (natural, _), (balanced, confidence) = (
        open_onnx_predictor(path, "cpu", prior)[0](s2, s1) for prior in ("natural", "balanced")
    )

    odds = upsampled(session.run(s2[None], s1[None]), 4).softmax(0).numpy()
    odds /= np.sqrt(np.maximum(shares, 0.001))[:, None, None]
    assert (balanced == odds.argmax(0)).mean() > 0.999
    np.testing.assert_allclose(confidence, odds.max(0) / odds.sum(0), atol=0.0051)
    assert (balanced != natural).any()


# --- a dataset -------------------------------------------------------------------------------


def write_raster(path, values):
    values = np.asarray(values)
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=values.dtype,
        crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 5e5, 0, -10, 6e6),
    ) as file:
        file.write(values)


def write_dataset(folder, *, chips=4, votes=True, names=None):
    """Chips of 62 px, each at a place of its own, half of them in the split ``test``."""
    rng = np.random.default_rng(8)
    names = names or [cover.name for cover in CLASSES]
    classes = [{"name": name, "colour": "123456"} for name in names]
    (folder / "chips").mkdir(parents=True)
    (folder / "dataset.json").write_text(
        json.dumps({"format": 1, "lulcmap": "0", "classes": classes, "settings": {}})
    )
    rows = []
    for number in range(chips):
        chip = folder / "chips" / f"chip{number}"
        chip.mkdir()
        s2, s1 = composites(rng, (62, 62))
        label = rng.integers(0, len(names), (1, 62, 62)).astype(np.uint8)
        label[:, :5] = 255
        write_raster(chip / "s2.tif", s2)
        write_raster(chip / "s1.tif", s1)
        write_raster(chip / "label.tif", label)
        if votes:
            write_raster(chip / "votes.tif", np.concatenate([label, label, (label + 1) % 9, label]))
        row = Chip(
            f"chip{number}",
            f"place{number}",
            9.0 + 40 * (number % 2),
            55.0,
            "2020-06-01",
            "test" if number >= chips // 2 else "train",
            "holdout",
            "a.tif",
            (),
            (),
            (),
            None,
            32632,
            62,
            62,
            (0,) * len(names),
            0,
        )
        rows.append({name: getattr(row, name) for name in Chip.__dataclass_fields__})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "index.parquet")
    return Dataset.open(folder)


class Described:
    name = "stub"
    classes = tuple(cover.name for cover in CLASSES)
    inputs = {"s2": S2_INPUT, "s1": S1_INPUT}  # noqa: RUF012


def evaluate_on(dataset, predict, described=Described, **options):
    defaults = {"split": "all", "scheme": "consensus", "regions": Regions()}
    subject = {"name": "stub", "kind": "stub"}
    return evaluate_model(predict, described, dataset, subject=subject, **defaults | options)


def perfect_model(dataset):
    """A model that gives each chip's label, less sure of it where a sensor is missing."""
    labels = {}
    for chip in dataset.rows:
        seen = dataset.read(chip)
        s2, label = seen.s2, seen.label
        labels[s2.tobytes()] = label
    last = []

    def predict(s2, s1):
        label = labels.get(s2.tobytes())
        last[:] = [label] if label is not None else last
        blind = (s2 == 0).all() or (s1 == -32768).all()
        classes = np.where(last[0] == 255, 0, (last[0] + blind) % 9).astype(np.uint8)
        return classes, np.full(classes.shape, 0.4 if blind else 0.9, np.float32)

    return predict


def test_a_model_that_is_always_right_scores_one_and_single_sensors_are_listed(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False)

    evaluation = evaluate_on(dataset, perfect_model(dataset)).to_json(draws=100)

    assert evaluation["scores"]["miou"] == {"value": 1, "low": 1, "high": 1}
    assert evaluation["pixels"] == 4 * 57 * 62
    assert evaluation["labels"]["votes"] == "none, one annotator a chip"
    assert evaluation["calibration"]["ece"] == pytest.approx(0.1, abs=1e-6)
    assert [(row["sensors"], row["oa"]) for row in evaluation["sensors"]] == [
        ("Sentinel-2 and Sentinel-1", 1),
        ("Sentinel-2 only", 0),
        ("Sentinel-1 only", 0),
    ]
    assert [(row["region"], row["places"]) for row in evaluation["regions"]] == [
        ("N30-60 E0-30", 2),
        ("N30-60 E30-60", 2),
    ]
    json.dumps(evaluation, allow_nan=False)


def test_votes_decide_what_is_counted_and_the_scheme_is_named(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    predict = perfect_model(dataset)

    strict = evaluate_on(dataset, predict, scheme="majority").to_json(draws=100)

    assert strict["labels"]["votes"] == "majority"
    assert strict["pixels"] > 0
    with pytest.raises(UsageError, match="No pixel of these chips"):
        evaluate_on(dataset, predict, scheme="strict")  # the third expert never agrees


def test_a_sensor_the_model_needs_is_not_removed(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False)

    class Needs(Described):
        inputs = {"s2": replace(S2_INPUT, optional=False), "s1": S1_INPUT}  # noqa: RUF012

    evaluation = evaluate_on(dataset, perfect_model(dataset), Needs).to_json(draws=100)

    assert [row["sensors"] for row in evaluation["sensors"]] == [
        "Sentinel-2 and Sentinel-1",
        "Sentinel-2 only",
    ]
    assert "Sentinel-1 alone is not measured: the model needs Sentinel-2." in evaluation["notes"]


def test_a_model_with_its_classes_in_another_order_is_compared_by_name(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False)
    predict = perfect_model(dataset)

    class Turned(Described):
        classes = Described.classes[::-1]

    def turned(s2, s1):
        classes, confidence = predict(s2, s1)
        return (8 - classes).astype(np.uint8), confidence

    assert evaluate_on(dataset, turned, Turned).to_json(draws=100)["scores"]["oa"]["value"] == 1


def test_a_model_of_other_classes_is_refused(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False, names=["forest", "vines"])

    with pytest.raises(UsageError, match=r"classes water, .*legend lacks \(forest, vines\)"):
        evaluate_on(dataset, perfect_model(dataset))


def test_an_empty_split_is_refused(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False)

    with pytest.raises(UsageError, match="no chip in the split 'validation'"):
        evaluate_on(dataset, perfect_model(dataset), split="validation")


# --- files -----------------------------------------------------------------------------------


@pytest.fixture
def evaluation(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False)
    return evaluate_on(dataset, perfect_model(dataset)).to_json(draws=100)


def test_the_folder_holds_tables_and_pictures(evaluation, tmp_path):
    out = tmp_path / "scores"

    write_evaluation(out, evaluation, overwrite=False)

    assert json.loads((out / "metrics.json").read_text()) == evaluation
    lines = (out / "confusion.csv").read_text().splitlines()
    assert lines[0].startswith('"true class (votes: none, one annotator a chip)",water,trees')
    assert [sum(map(int, line.split(",")[1:])) for line in lines[1:]] == [
        row["true_pixels"] for row in evaluation["per_class"]
    ]
    for name in ("confusion.png", "reliability.png"):
        with Image.open(out / name) as picture:
            assert min(picture.size) > 600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "scores"]


def test_a_folder_that_is_no_evaluation_is_never_replaced(evaluation, tmp_path):
    write_evaluation(tmp_path / "scores", evaluation, overwrite=False)
    with pytest.raises(OutputError, match="--overwrite"):
        check_evaluation_folder(tmp_path / "scores", overwrite=False)
    write_evaluation(tmp_path / "scores", evaluation, overwrite=True)

    with pytest.raises(OutputError, match="is not an evaluation"):
        write_evaluation(tmp_path / "data", evaluation, overwrite=True)
    with pytest.raises(OutputError, match="No folder"):
        check_evaluation_folder(tmp_path / "none" / "scores", overwrite=False)


def test_an_evaluation_with_other_files_in_its_folder_is_not_replaced(evaluation, tmp_path):
    out = tmp_path / "scores"
    write_evaluation(out, evaluation, overwrite=False)
    (out / "sample.gpkg").write_text("labels of weeks")

    with pytest.raises(OutputError, match="without other files"):
        write_evaluation(out, evaluation, overwrite=True)

    assert (out / "sample.gpkg").read_text() == "labels of weeks"


def test_names_that_begin_as_formulas_are_defused(evaluation, tmp_path):
    evaluation["classes"][0] = "=HYPERLINK(1)"

    write_evaluation(tmp_path / "scores", evaluation, overwrite=False)

    lines = (tmp_path / "scores" / "confusion.csv").read_text().splitlines()
    assert lines[0].split(",")[2] == "'=HYPERLINK(1)"
    assert lines[1].startswith("'=HYPERLINK(1),")


def test_a_picture_that_fails_leaves_nothing(evaluation, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("lulcmap.evaluation.results.reliability_chart", fail)

    with pytest.raises(OutputError, match="disk full"):
        write_evaluation(tmp_path / "scores", evaluation, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# --- the command -----------------------------------------------------------------------------


def test_the_command_measures_a_model_file_without_torch(tmp_path):
    write_dataset(tmp_path / "data")
    model = make_model(tmp_path / "model.onnx", contract(multiple=32))
    words = [str(model), "--data", str(tmp_path / "data"), "--votes", "majority", "--device", "cpu"]

    result = CliRunner().invoke(
        evaluate, [*words, "--draws", "100", "--out", str(tmp_path / "out")], catch_exceptions=False
    )

    assert result.output.startswith("stub against data, test; votes: majority\n")
    assert "Sentinel-1 only" in result.output
    assert "expected calibration error" in result.output
    evaluation = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert evaluation["subject"] == {
        "name": "stub",
        "kind": "model file",
        "file": "model.onnx",
        "prior": "natural",
    }
    assert evaluation["places"] == 2


def test_the_command_offers_every_scheme_and_names_every_crosswalk():
    options = {option.name: option for option in evaluate.params}

    assert sorted(options["votes"].type.choices) == sorted(SCHEMES)
    assert all(name in options["crosswalk"].help for name in SHIPPED_CROSSWALKS)


def test_the_command_measures_a_checkpoint(tmp_path, monkeypatch):
    dataset = write_dataset(tmp_path / "data", votes=False)
    monkeypatch.setattr(
        "lulcmap.training.checkpoint_predictor",
        lambda *_: (perfect_model(dataset), Described),
    )
    (tmp_path / "checkpoint.pt").touch()

    result = CliRunner().invoke(
        evaluate,
        [str(tmp_path / "checkpoint.pt"), "--data", str(tmp_path / "data"), "--json"],
        catch_exceptions=False,
    )

    assert json.loads(result.output)["scores"]["oa"]["value"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.onnx"], "A model is measured on --data"),
        (["map.tif"], "A map is measured against --labels"),
        (["map.tif", "--data", "."], "A map is measured against --labels"),
        (["map.tif", "--votes", "strict", "--device", "cpu"], "--votes and --device cannot be"),
        (["model.onnx", "--data", ".", "--crosswalk", "esri"], "labels are for a map"),
        (["model.onnx", "--data", ".", "--label-column", "x"], "--label-column cannot be used"),
        (["map.tif", "--prior", "balanced"], "--prior cannot be used here: A map"),
        (["run.pt", "--data", ".", "--prior", "balanced"], "export the checkpoint"),
    ],
)
def test_options_that_do_not_fit_are_refused(words, message):
    result = CliRunner().invoke(evaluate, words)

    assert result.exit_code == 2
    assert message in result.output
