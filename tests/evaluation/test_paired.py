import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pyproj import Transformer

from lulcmap.cli.evaluate import evaluate
from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation.compare import compare_maps, compare_models
from lulcmap.evaluation.comparison import Comparison
from lulcmap.evaluation.evaluate import evaluate_map
from lulcmap.evaluation.olofsson import estimate_adjusted, estimate_difference
from lulcmap.evaluation.onnx_predictor import Prediction
from lulcmap.evaluation.paired import PairedCounts, PairedPlace, paired_intervals, scores_of
from lulcmap.evaluation.regions import Regions
from lulcmap.evaluation.results import check_evaluation_folder, write_comparison
from lulcmap.evaluation.sample_file import write_sample
from lulcmap.evaluation.sampling import draw_sample
from lulcmap.evaluation.scores import accuracy, f1, mean_f1, mean_iou
from lulcmap.legend import CLASS_TAG
from tests.evaluation.test_chips import Described, perfect_model, write_dataset
from tests.evaluation.test_maps import labelled, write
from tests.support.stubs import contract, make_model

# --- counts ----------------------------------------------------------------------------------


def classified(rng, truth, share):
    """Classes that are right on a share of the pixels."""
    wrong = (truth + rng.integers(1, 4, truth.shape)) % 4
    given = np.where(rng.random(truth.shape) < share, truth, wrong).astype(np.uint8)
    given[rng.random(truth.shape) < 0.02] = 255
    return given


@pytest.fixture
def pixels():
    """Truth, first and second, of 12 places."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(12):
        truth = rng.integers(0, 4, (15, 20)).astype(np.uint8)
        truth[0] = 255
        made.append((truth, classified(rng, truth, 0.8), classified(rng, truth, 0.6)))
    return made


@pytest.fixture
def counts(pixels):
    counted = PairedCounts(4)
    for number, arrays in enumerate(pixels):
        for half in (slice(None, 7), slice(7, None)):  # a place may come in parts
            counted.add(f"{number}", *(array[half] for array in arrays))
    return counted


def test_pixels_are_counted_only_where_both_have_a_class(pixels, counts):
    truth, first, second = (np.stack(arrays) for arrays in zip(*pixels, strict=True))
    both = (truth != 255) & (first != 255) & (second != 255)

    right = (first == truth)[both], (second == truth)[both]
    assert counts.outcomes.tolist() == [
        (right[0] & right[1]).sum(),
        (right[0] & ~right[1]).sum(),
        (~right[0] & right[1]).sum(),
        (~right[0] & ~right[1]).sum(),
    ]
    assert counts.unpaired.tolist() == [
        ((truth != 255) & (first != 255) & (second == 255)).sum(),
        ((truth != 255) & (second != 255) & (first == 255)).sum(),
    ]
    assert counts.matrices.sum((1, 2)).tolist() == [both.sum()] * 2
    assert sum(counts.places_won) == len(counts.places) == 12
    assert counts.places_won[0] >= 10


def test_scores_of_many_matrices_are_those_of_each():
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 9, (50, 5, 5)) * (rng.random((50, 5, 1)) < 0.8)
    matrices[7] = 0

    many = scores_of(matrices)

    for i, matrix in enumerate(matrices):
        np.testing.assert_allclose(many["oa"][i], accuracy(matrix))
        np.testing.assert_allclose(many["f1"][i], mean_f1(matrix))
        np.testing.assert_allclose(many["miou"][i], mean_iou(matrix))
        np.testing.assert_allclose(many["class_f1"][i], f1(matrix))


# --- intervals -------------------------------------------------------------------------------


def population(rng, n_places):
    """Places of a world in which the first is right more often, where it is easy above all.

    Pixels of a place are alike, large places are easier, and both fail where it is hard.
    """
    size = rng.integers(20, 400, n_places)
    ease = np.clip(0.45 + size / 900 + rng.normal(0, 0.15, n_places), 0.05, 0.95)
    first = np.clip(ease + 0.06 + rng.normal(0, 0.05, n_places), 0, 1)
    second = np.clip(ease + rng.normal(0, 0.05, n_places), 0, 1)
    hits = rng.binomial(size, first), rng.binomial(size, second)
    share = np.clip(rng.normal(0.4, 0.2, n_places), 0, 1)  # of the rarer of two classes
    places = np.zeros((n_places, 2, 2, 2), np.int64)
    for which, hit in enumerate(hits):
        rare = rng.binomial(hit, share)
        missed = rng.binomial(size - hit, share)
        places[:, which] = np.stack(
            [np.stack([hit - rare, size - hit - missed], -1), np.stack([missed, rare], -1)], -2
        )
    return places


def difference(matrices):
    scores = scores_of(matrices)
    return {name: scores[name][0] - scores[name][1] for name in ("oa", "f1")}


@pytest.mark.parametrize("n_places", [8, 30])
def test_the_interval_covers_the_true_difference_in_95_of_100_repetitions(n_places):
    rng = np.random.default_rng(11)
    true = difference(population(rng, 200_000).sum(0))
    repetitions, covered = 400, {"oa": 0, "f1": 0}

    for number in range(repetitions):
        places = population(rng, n_places)
        counts = PairedCounts(2)
        counts.places = {
            str(i): PairedPlace(place, np.zeros(4, np.int64)) for i, place in enumerate(places)
        }
        ends = paired_intervals(counts, draws=500, seed=number)
        for name, value in true.items():
            covered[name] += ends[name][0] <= value <= ends[name][1]

    for name, count in covered.items():  # three standard errors of a share of 0.95 are 0.033
        assert 0.915 <= count / repetitions <= 0.985, (name, count)


def test_the_interval_of_the_difference_is_narrower_than_those_of_both(counts):
    ends = paired_intervals(counts, draws=500, seed=1)
    again = paired_intervals(counts, draws=500, seed=1)
    other = paired_intervals(counts, draws=500, seed=2)

    for name, values in ends.items():
        np.testing.assert_array_equal(values, again[name])
    assert (ends["oa"] != other["oa"]).any()
    assert ends["class_f1"].shape == (2, 4)


def test_draws_in_parts_are_the_draws_at_once(counts, monkeypatch):
    whole = paired_intervals(counts, draws=200, seed=1)
    monkeypatch.setattr("lulcmap.evaluation.paired._MAX_NUMBERS", 1000)

    parts = paired_intervals(counts, draws=200, seed=1)

    for name, values in whole.items():
        np.testing.assert_array_equal(parts[name], values)


def test_one_place_gives_no_interval_and_a_class_in_one_place_none(pixels):
    one = PairedCounts(4)
    one.add("here", *pixels[0])
    assert paired_intervals(one, draws=100, seed=0) is None

    two = PairedCounts(4)
    for number, (truth, first, second) in enumerate(pixels[:2]):
        here = truth if number else np.where(truth == 3, 255, truth).astype(np.uint8)
        two.add(f"{number}", here, first, second)
    ends = paired_intervals(two, draws=100, seed=0)
    assert np.isfinite(ends["class_f1"][:, :3]).all()
    assert np.isnan(ends["class_f1"][:, 3]).all()


# --- the verdict -----------------------------------------------------------------------------


def compared(counts, **options):
    named = {"first": {"name": "A"}, "second": {"name": "B"}}
    labels = {"name": "labels", "votes": "none"}
    return Comparison(**named, labels=labels, classes=tuple("wxyz"), counts=counts, **options)


def test_the_verdict_names_the_better_one(pixels, counts):
    turned = PairedCounts(4)
    for number, (truth, first, second) in enumerate(pixels):
        turned.add(f"{number}", truth, second, first)

    better, worse = (compared(one).to_json(draws=300) for one in (counts, turned))

    assert better["verdict"].startswith("A has a higher accuracy than B, by ")
    assert worse["verdict"].startswith("B has a higher accuracy than A, by ")
    assert better["scores"]["oa"]["difference"] == -worse["scores"]["oa"]["difference"]
    assert better["scores"]["oa"]["low"] > 0
    assert any("12 places are few" in note for note in better["notes"])
    json.dumps(better, allow_nan=False)


def test_a_difference_within_chance_is_no_difference(pixels):
    same = PairedCounts(4)
    rng = np.random.default_rng(0)
    for number, (truth, first, _) in enumerate(pixels):
        same.add(f"{number}", truth, first, classified(rng, truth, 0.8))
    alone = PairedCounts(4)
    alone.add("here", *pixels[0])

    assert (
        compared(same)
        .to_json(draws=300)["verdict"]
        .startswith("No difference in accuracy can be told: ")
    )
    assert "One place is too few" in compared(alone).to_json()["verdict"]


# --- models ----------------------------------------------------------------------------------


def often_wrong(dataset, share, seed):
    right, rng = perfect_model(dataset), np.random.default_rng(seed)

    def predict(s2, s1, *_):
        classes = right(s2, s1).classes
        wrong = rng.random(classes.shape) < share
        return Prediction(np.where(wrong, (classes + 1) % 9, classes).astype(np.uint8), classes)

    return predict


def test_two_models_are_compared_on_the_same_pixels(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False, chips=6)
    models = [(often_wrong(dataset, share, 0), Described) for share in (0.1, 0.3)]

    comparison = compare_models(
        models,
        dataset,
        split="all",
        scheme="consensus",
        subjects=[{"name": "good"}, {"name": "poor"}],
    ).to_json(draws=200)

    assert comparison["places"] == 6
    assert comparison["pixels"] == 6 * 57 * 62
    assert comparison["scores"]["oa"]["difference"] == pytest.approx(0.2, abs=0.02)
    assert comparison["verdict"].startswith("good has a higher accuracy than poor")
    outcomes = comparison["outcomes"]
    assert sum(outcomes.values()) == comparison["pixels"]
    gain = outcomes["only_first_right"] - outcomes["only_second_right"]
    assert gain / comparison["pixels"] == pytest.approx(comparison["scores"]["oa"]["difference"])


def test_the_command_compares_two_models(tmp_path):
    write_dataset(tmp_path / "data", chips=6)
    models = [
        str(make_model(tmp_path / name, contract(multiple=32))) for name in ("a.onnx", "b.onnx")
    ]
    words = [models[0], "--against", models[1], "--data", str(tmp_path / "data")]
    words += ["--votes", "majority", "--device", "cpu", "--draws", "100"]

    printed = CliRunner().invoke(
        evaluate, [*words, "--out", str(tmp_path / "out")], catch_exceptions=False
    )
    as_json = CliRunner().invoke(evaluate, [*words, "--json"], catch_exceptions=False)

    assert printed.output.startswith("first: a.onnx; second: b.onnx\n")
    assert "only the first 0, only the second 0" in printed.output
    assert "No difference in accuracy can be told: +0.0 points for a.onnx" in printed.output
    written = json.loads((tmp_path / "out/comparison.json").read_text())
    assert written == json.loads(as_json.output)
    with Image.open(tmp_path / "out/comparison.png") as picture:
        assert min(picture.size) > 400


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.onnx", "--against", "b.tif", "--data", "."], "a model with a model"),
        (["a.tif", "--against", "b.onnx", "--labels", __file__], "a map with a map"),
        (["a.onnx", "--against", "b.onnx"], "A model is measured on --data"),
        (
            ["a.onnx", "--against", "b.pt", "--data", ".", "--prior", "balanced"],
            "--prior is only for model files",
        ),
        (
            ["a.onnx", "--against", "b.onnx", "--data", ".", "--regions", __file__],
            "--regions cannot be used here",
        ),
    ],
)
def test_comparisons_that_do_not_fit_are_refused(words, message):
    result = CliRunner().invoke(evaluate, words)

    assert result.exit_code == 2
    assert message in result.output


def test_a_comparison_replaces_only_what_lulcmap_wrote(counts, tmp_path):
    comparison, out = compared(counts).to_json(draws=100), tmp_path / "out"
    write_comparison(out, comparison, overwrite=False)

    with pytest.raises(OutputError, match="--overwrite"):
        check_evaluation_folder(out, overwrite=False)
    write_comparison(out, comparison, overwrite=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="without other files"):
        write_comparison(out, comparison, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"


# --- maps ------------------------------------------------------------------------------------


@pytest.fixture
def maps(tmp_path):
    """The truth, and two maps of it."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 4, (256, 256)).repeat(2, 0).repeat(2, 1).astype(np.uint8)
    first = np.where(rng.random(truth.shape) < 0.8, truth, (truth + 1) % 4).astype(np.uint8)
    second = np.where(rng.random(truth.shape) < 0.7, truth, (truth + 1) % 4).astype(np.uint8)
    paths = [tmp_path / name for name in ("truth.tif", "first.tif", "second.tif")]
    for path, values in zip(paths, (truth, first, second), strict=True):
        write(path, values)
    return paths, (truth, first, second)


def test_two_maps_are_compared_where_both_have_a_class(maps, tmp_path):
    (truth, first, second), arrays = maps
    cut = tmp_path / "cut.tif"
    write(cut, np.where(np.arange(512) < 256, arrays[2], 255).astype(np.uint8))

    found = compare_maps(first, cut, truth, crosswalk=None, label_column="label")
    whole = compare_maps(first, second, truth, crosswalk=None, label_column="label")

    right = [array == arrays[0] for array in arrays[1:]]
    assert whole.counts.outcomes.tolist() == [
        (right[0] & right[1]).sum(),
        (right[0] & ~right[1]).sum(),
        (~right[0] & right[1]).sum(),
        (~right[0] & ~right[1]).sum(),
    ]
    assert found.counts.outcomes.sum() == whole.counts.outcomes.sum() / 2
    assert found.counts.unpaired.tolist() == [512 * 256, 0]
    alone = evaluate_map(first, truth, crosswalk=None, label_column="label", regions=Regions())
    assert set(whole.counts.places) == set(alone.counts.places)
    np.testing.assert_array_equal(whole.counts.matrices[0][:4, :4], alone.counts.matrix[:4, :4])


def test_maps_are_read_at_points_and_in_polygons_as_one_map_is(maps, tmp_path):
    (_, first, second), _ = maps
    polygons = tmp_path / "polygons.geojson"
    square = [[9.85, 57.21], [9.88, 57.21], [9.88, 57.23], [9.86, 57.23], [9.85, 57.21]]
    features = [
        {
            "type": "Feature",
            "properties": {"label": "water"},
            "geometry": {"type": "Polygon", "coordinates": [square]},
        }
    ]
    polygons.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    points = tmp_path / "points.csv"
    rows = [f"{9.84 + i / 5000},{57.23 - i / 9000},{i % 4}" for i in range(100)]
    points.write_text("\n".join(["lon,lat,label", *rows]))

    for labels in (points, polygons):
        options = {"crosswalk": None, "label_column": "label"}
        alone = [
            evaluate_map(path, labels, regions=Regions(), **options) for path in (first, second)
        ]
        found = compare_maps(first, second, labels, **options)
        for i, one in enumerate(alone):
            np.testing.assert_array_equal(
                found.counts.matrices[i][:4, :4], one.counts.matrix[:4, :4]
            )


def test_maps_without_a_class_in_common_are_refused(maps, tmp_path):
    (truth, first, _), arrays = maps
    other = tmp_path / "other.tif"
    names = ("vines", "rice", "tea", "cork")
    write(other, arrays[2], tags={f"{CLASS_TAG}{i}": name for i, name in enumerate(names)})

    with pytest.raises(UsageError, match=r"no class of the first map .*vines, rice"):
        compare_maps(first, other, truth, crosswalk=None, label_column="label")


def test_a_stratified_sample_gives_the_area_adjusted_difference(maps, tmp_path):
    (_, first, second), arrays = maps
    drawn = draw_sample(first, size=400, min_per_class=50, seed=1)
    write_sample(tmp_path / "sample.gpkg", drawn)
    x, y = Transformer.from_crs(4326, 32632, always_xy=True).transform(drawn.lon, drawn.lat)
    ids = arrays[0][((6_344_000 - y) // 10).astype(int), ((x - 550_000) // 10).astype(int)]
    path = labelled(tmp_path / "sample.gpkg", tmp_path / "labelled.gpkg", ids)

    comparison = compare_maps(first, second, path, crosswalk=None, label_column="label").to_json(
        draws=100
    )

    right = [(array == arrays[0]).mean() for array in arrays[1:]]
    adjusted = comparison["area_adjusted"]
    assert adjusted["difference"] == pytest.approx(right[0] - right[1], abs=adjusted["margin"])
    assert 0.01 < adjusted["margin"] < 0.1
    assert "area-adjusted accuracy" in comparison["verdict"]


def test_the_difference_of_a_sample_is_that_of_both_estimates():
    rng = np.random.default_rng(0)
    strata, truth = rng.integers(0, 3, 300), rng.integers(0, 4, 300)
    first, second = (np.where(rng.random(300) < p, truth, (truth + 1) % 4) for p in (0.9, 0.7))
    areas, weights = np.array([5.0, 2.0, 1.0]), rng.uniform(80, 120, 300)
    options = {"areas": areas, "weights": weights}

    difference = estimate_difference(strata, first == truth, second == truth, **options)

    both = [
        estimate_adjusted(strata, mapped, truth, n_classes=4, **options).overall
        for mapped in (first, second)
    ]
    assert difference.value == pytest.approx(both[0].value - both[1].value)
    assert difference.margin < np.hypot(both[0].margin, both[1].margin)
