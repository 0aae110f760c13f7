import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from lulcmap.adaptation.adapting import adapt_model
from lulcmap.adaptation.checks import MIN_LABELS
from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.seen import see_labels
from lulcmap.adaptation.windows import KeptComposite
from lulcmap.cli import main
from lulcmap.errors import ModelError, OutputError, UsageError
from lulcmap.geo import Box
from lulcmap.model import (
    METADATA_KEY,
    SUN_SCALAR,
    classify_image,
    open_features,
    open_session,
    read_model,
    with_metadata,
)
from lulcmap.sensors import S1_NODATA
from tests.support.adaptable import (
    AFFINE,
    CLASSES,
    SIDE,
    label_points,
    land,
    lonlat,
    model_bytes,
    pixels,
    write_composite,
    write_labels,
)

IDS = np.array([0, 1, 2, 4], np.uint8)
"""Ids of the land's classes in maps: all are Dynamic World's."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A composite of a land, a model that does not know it, and 200 labels."""
    path = tmp_path_factory.mktemp("adapt")
    truth, bands = land()
    write_composite(path / "composite.tif", bands)
    (path / "small.onnx").write_bytes(model_bytes())
    label_points(path / "labels.gpkg", truth)
    return path


@pytest.fixture
def adapt(folder, tmp_path):
    """Adapt the model; the result and the path of the new one."""

    def run(labels=folder / "labels.gpkg", out=tmp_path / "mine.onnx", composites=None, **options):
        found = composites or [folder / "composite.tif"]
        imagery = [KeptComposite.open(path) for path in found]
        return adapt_model(folder / "small.onnx", labels, imagery, out, **options), out

    return run


def accuracy(model, truth, bands):
    session = open_session(model, device="cpu")
    s1 = np.full((2, *truth.shape), S1_NODATA, np.int16)
    box = Box(round(-AFFINE.f / 10), round(AFFINE.c / 10), *truth.shape)
    return float((classify_image(session, bands[:9], s1, box=box).classes == truth).mean())


def test_a_better_model_is_written_with_contract_card_and_parentage(folder, adapt):
    truth, bands = land(seed=5)  # the same classes elsewhere

    result, out = adapt()

    parent, made = read_model(folder / "small.onnx"), read_model(out)
    told = made.contract.training["adapted"]
    assert result.out == out
    assert result.chosen == "head"
    assert result.n_labels == told["labels"] == 200
    assert told["parent"] == {"name": "small", "sha256": parent.sha256}
    assert made.contract.name == "mine"
    assert made.contract.classes == CLASSES
    assert "adapted from small to 200 labels" in made.contract.quality
    assert told["cross_validation"]["difference_95"][0] > 0
    card = out.with_suffix(".md").read_text()
    assert parent.sha256 in card
    assert f"| labels | 200, at {result.n_places} places of 1 km |" in card
    before, after = (accuracy(path, IDS[truth], bands) for path in (folder / "small.onnx", out))
    assert after > before + 0.2
    assert abs(after - result.tried[0].gain.after) < 0.1  # what was promised of land left out


def test_the_same_labels_give_the_same_bytes(adapt, tmp_path):
    _, out = adapt()
    first = out.read_bytes()
    other = tmp_path / "again" / "mine.onnx"
    other.parent.mkdir()
    adapt(out=other)

    assert other.read_bytes() == first


def test_labels_without_sense_give_nothing(folder, adapt, tmp_path):
    rng = np.random.default_rng(0)
    labels = label_points(tmp_path / "noise.gpkg", rng.integers(0, 4, (SIDE, SIDE)))

    result, _out = adapt(labels)

    assert result.out is None
    assert not result.tried[0].gain.is_better
    assert not list(tmp_path.glob("mine*"))


def test_a_new_class_is_learnt(folder, adapt, tmp_path):
    truth, bands = land(n_classes=5)
    composite = write_composite(tmp_path / "five.tif", bands)
    names = (*CLASSES, "oil_palm")
    labels = label_points(tmp_path / "five.gpkg", truth, 300, names=names)

    with pytest.raises(UsageError, match="--new-class oil_palm"):
        adapt(labels, composites=[composite])
    result, out = adapt(labels, composites=[composite], new_classes={"oil_palm": "7B8F1A"})

    contract = read_model(out).contract
    assert contract.classes == names
    assert contract.legend[4].name == "oil_palm"
    assert contract.legend[4].colour == "7B8F1A"
    assert [cover.name for cover in contract.legend[:4]] == list(CLASSES)
    assert "ids of the classes" in " ".join(result.notes)  # crops was 4, as in Dynamic World
    f1 = result.tried[0].gain.of_classes["oil_palm"]
    assert f1[1] == 0
    assert f1[2] > 0.5


def test_dynamic_world_ids_stay_when_a_class_is_added_to_a_model_with_other_order(folder, tmp_path):
    order = ["trees", "water", "grass", "flooded_vegetation", "crops", "shrub_and_scrub"]
    order += ["built", "bare", "snow_and_ice"]
    path = tmp_path / "dw.onnx"
    colours = [f"00000{i}" for i in range(9)]
    path.write_bytes(model_bytes(np.eye(9), order, colours=colours, prior=(1 / 9,) * 9))
    truth, bands = land(n_classes=3)
    composite = write_composite(tmp_path / "c.tif", bands)
    labels = label_points(tmp_path / "l.gpkg", truth, names=("water", "trees", "rice"))

    adapt_model(
        path,
        labels,
        [KeptComposite.open(composite)],
        tmp_path / "m.onnx",
        new_classes={"rice": None},
    )

    legend = read_model(tmp_path / "m.onnx").contract.legend
    assert [cover.name for cover in legend[:2]] == ["water", "trees"]
    assert legend[0].colour == "000001"
    assert legend[9].name == "rice"
    assert accuracy(tmp_path / "m.onnx", np.where(truth == 2, 9, truth), bands) > 0.6


def test_polygons_and_labels_outside_the_composite(adapt, tmp_path):
    truth, _ = land()
    rows, cols = pixels(120, seed=2)
    rows, cols = rows // 8 * 8, cols // 8 * 8
    west, north = lonlat(rows, cols)
    east, south = lonlat(rows + 7, cols + 7)
    shapes = [*shapely.box(west, south, east, north), shapely.box(20, 20, 20.1, 20.1)]
    classes = np.array([*np.array(CLASSES)[truth[rows, cols]], "water"], object)
    labels = write_labels(tmp_path / "polygons.gpkg", shapes, class_=classes)

    result, out = adapt(labels)

    assert result.n_labels == 120
    assert result.left_out == {"no imagery": 1}
    assert result.out == out


def test_a_label_is_looked_at_in_the_first_composite_with_data(folder, adapt, tmp_path):
    _, bands = land()
    left, right = bands.copy(), bands.copy()
    left[:, :, SIDE // 2 :], right[:, :, : SIDE // 2] = 0, 0
    paths = [write_composite(tmp_path / f"{i}.tif", part) for i, part in enumerate((left, right))]

    halves, _ = adapt(composites=paths)
    one, _ = adapt(composites=paths[:1], out=tmp_path / "half.onnx")

    assert halves.n_labels == 200
    assert 0 < one.n_labels < 200
    assert one.left_out["no imagery"] == 200 - one.n_labels


def test_labels_at_the_end_of_a_composite_are_counted(folder, adapt, tmp_path):
    truth, bands = land()
    rows, cols = pixels(200)
    labels = label_points(tmp_path / "l.gpkg", truth)
    cut = bands.copy()
    cut[:, :, 400:] = 0
    cut[:, 100:102, 100:102] = 0  # a hole, which a map has too
    composite = write_composite(tmp_path / "cut.tif", cut)

    result, _ = adapt(labels, composites=[composite])

    (note,) = [one for one in result.notes if "the end of a composite" in one]
    told = int(note.split()[0])
    seen = (cols < 400) & ~((rows // 2 == 50) & (cols // 2 == 50))
    to_end = np.minimum.reduce([rows, cols, SIDE - rows, 400 - cols])
    assert (seen & (to_end < 10)).sum() <= told <= (seen & (to_end < 64)).sum()


def test_a_polygon_half_outside_a_composite_is_not_judged_by_its_other_half(folder):
    """It is looked at in another composite that shows it, or not at all."""
    _, bands = land()
    write_composite(folder / "west.tif", bands[:, :, : SIDE // 2])
    row = np.arange(8, SIDE - 8, 8)
    west, south = lonlat(row + 4, np.full(len(row), SIDE // 2 - 4))
    east, north = lonlat(row, np.full(len(row), SIDE // 2 + 4))
    shapes = np.array(shapely.box(west, south, east, north), object)
    labels = Labels(folder / "x", shapes, np.full(len(row), "water"), np.ones(len(row)), False)
    network = open_features(folder / "small.onnx")
    half, whole = (KeptComposite.open(folder / name) for name in ("west.tif", "composite.tif"))

    seen, kept = see_labels(network, labels, [half, whole])
    alone, _ = see_labels(network, labels, [whole])

    assert len(kept) == len(row)
    assert np.array_equal(seen.features, alone.features)
    with pytest.raises(UsageError, match="No label"):
        see_labels(network, labels, [half])


@pytest.mark.parametrize(
    ("count", "spread", "message"),
    [(40, SIDE, "40 labels to use"), (80, 60, "80 labels .* 2 places")],
)
def test_few_labels_or_places_are_refused(adapt, tmp_path, count, spread, message):
    truth, _ = land()
    labels = label_points(tmp_path / "few.gpkg", truth[:spread, :spread], count)

    with pytest.raises(UsageError, match=message):
        adapt(labels)


def test_few_labels_of_a_new_class_are_refused(adapt, tmp_path):
    truth, _ = land()
    truth[:20, :20] = 4
    labels = label_points(tmp_path / "few.gpkg", truth, names=(*CLASSES, "rice"))

    with pytest.raises(UsageError, match="new class rice"):
        adapt(labels, new_classes={"rice": None})


def test_labels_that_a_model_learnt_do_not_judge_it(folder, adapt, tmp_path):
    """The parent knows half of the labels by heart; the figures are of the others."""
    truth, _ = land()
    rows, cols = pixels(400, seed=3)
    at = rows < SIDE // 2
    names = np.array(CLASSES, object)[truth[rows, cols]]
    points = np.asarray(shapely.points(*lonlat(rows, cols)))
    first = write_labels(tmp_path / "first.gpkg", points[at], class_=names[at])
    every = write_labels(tmp_path / "every.gpkg", points, class_=names)
    _, mine = adapt(first)
    imagery = [KeptComposite.open(folder / "composite.tif")]

    result = adapt_model(mine, every, imagery, tmp_path / "next.onnx")

    judged = sum(n for n, _, _ in result.tried[0].gain.of_classes.values())
    assert MIN_LABELS <= judged < (~at).sum()  # places on the border are learnt
    assert any(f"{400 - judged} labels lie at places" in note for note in result.notes)
    with pytest.raises(UsageError, match=r"has learnt nothing; .* made of, small, to all"):
        adapt_model(mine, first, imagery, tmp_path / "again.onnx")


def test_an_adapted_model_that_does_not_tell_where_it_learnt_is_refused(folder, adapt, tmp_path):
    data = (folder / "small.onnx").read_bytes()
    contract = read_model(folder / "small.onnx").contract
    told = replace(contract, training={"adapted": {"parent": {"name": "x"}}})
    path = tmp_path / "old.onnx"
    path.write_bytes(with_metadata(data, {METADATA_KEY: told.to_json()}))
    imagery = [KeptComposite.open(folder / "composite.tif")]

    with pytest.raises(ModelError, match="does not tell where its labels lay"):
        adapt_model(path, folder / "labels.gpkg", imagery, tmp_path / "mine.onnx")


def test_a_model_trained_on_from_an_adapted_one_is_refused(folder, tmp_path):
    data = (folder / "small.onnx").read_bytes()
    contract = read_model(folder / "small.onnx").contract
    told = replace(contract, training={"init": {"name": "x", "sha256": "0", "adapted": True}})
    path = tmp_path / "trained.onnx"
    path.write_bytes(with_metadata(data, {METADATA_KEY: told.to_json()}))
    imagery = [KeptComposite.open(folder / "composite.tif")]

    with pytest.raises(ModelError, match="trained on from one that was adapted"):
        adapt_model(path, folder / "labels.gpkg", imagery, tmp_path / "mine.onnx")


def test_other_files_are_not_replaced(folder, adapt, tmp_path):
    theirs = tmp_path / "mine.md"
    theirs.write_text("my notes")

    with pytest.raises(OutputError, match=r"mine\.md exists"):
        adapt()
    with pytest.raises(OutputError, match="is not a model's card"):
        adapt(overwrite=True)
    with pytest.raises(OutputError, match="is the model that is adapted"):
        adapt(out=folder / "small.onnx", overwrite=True)
    assert theirs.read_text() == "my notes"


def test_the_card_of_another_model_is_not_replaced(folder, adapt, tmp_path):
    _, out = adapt()
    card = out.with_suffix(".md").read_text()
    other = out.rename(tmp_path / "mine.ONNX")

    with pytest.raises(OutputError, match=r"mine\.md exists, and no mine\.onnx"):
        adapt(overwrite=True)
    imagery = [KeptComposite.open(folder / "composite.tif")]
    shutil.copy(folder / "small.onnx", out)
    with pytest.raises(OutputError, match="the card of the model that is adapted"):
        adapt_model(other, folder / "labels.gpkg", imagery, out, overwrite=True)
    assert out.with_suffix(".md").read_text() == card


@pytest.mark.parametrize("name", ["mine.md", "mine", "mine.pt"])
def test_a_model_is_written_to_an_onnx_file_only(adapt, tmp_path, name):
    with pytest.raises(UsageError, match=r"ends in \.onnx"):
        adapt(out=tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_another_raster_is_no_composite(tmp_path):
    path = write_composite(tmp_path / "three.tif", land()[1][:3])

    with pytest.raises(UsageError, match="no composite of lulcmap"):
        KeptComposite.open(path)


def command(*arguments):
    return CliRunner().invoke(main, ["adapt", *map(str, arguments)])


def test_the_command_prints_figures_and_the_next_step(folder, tmp_path):
    out = tmp_path / "mine.onnx"
    options = ["--model", folder / "small.onnx", "--composite", folder / "composite.tif"]
    options += ["--labels", folder / "labels.gpkg", "--out", out]

    done = command(*options)
    again = command(*options)
    told = command(*options, "--overwrite", "--json")

    assert done.exit_code == 0, done.output
    assert "95 % interval" in done.output
    assert f"--model {out}" in done.output
    assert again.exit_code == 7
    assert json.loads(told.stdout)["chosen"] == "head"


def test_the_command_exits_with_1_if_nothing_is_better(folder, tmp_path):
    rng = np.random.default_rng(0)
    labels = label_points(tmp_path / "noise.gpkg", rng.integers(0, 4, (SIDE, SIDE)))

    done = command(
        *("--model", folder / "small.onnx", "--composite", folder / "composite.tif"),
        *("--labels", labels, "--out", tmp_path / "mine.onnx"),
    )

    assert done.exit_code == 1
    assert "Nothing is written" in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Give the imagery"),
        (["--composite", "a.tif", "--aoi", "1,2,3,4"], "not both"),
        (["--composite", "a.tif", "--year", "2024"], "its period already"),
        (["--composite", "a.tif", "--new-class", "rice=red"], "six hexadecimal"),
        (["--composite", "none.tif"], "none.tif"),
        (["--composite", "a.tif", "--max-cloud", "20"], "--max-cloud has no effect"),
        (["--composite", "a.tif", "--s1", "off"], "--s1 has no effect"),
        (["--composite", "a.tif", "--layer", "a"], "--layer has no effect"),
    ],
)
def test_wrong_options_end_in_a_line(folder, options, message):
    done = command("--labels", folder / "labels.gpkg", "--out", "mine.onnx", *options)

    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_model_that_takes_the_sun_needs_a_catalogue(folder, tmp_path):
    contract = replace(
        read_model(folder / "small.onnx").contract, scalars={"sun_zenith": SUN_SCALAR}
    )
    path = tmp_path / "sun.onnx"
    path.write_bytes(
        with_metadata((folder / "small.onnx").read_bytes(), {METADATA_KEY: contract.to_json()})
    )

    with pytest.raises(UsageError, match="takes the sun's zenith"):
        adapt_model(
            path,
            folder / "labels.gpkg",
            [KeptComposite.open(folder / "composite.tif")],
            tmp_path / "mine.onnx",
        )


def test_a_composite_in_another_crs_is_looked_at_on_its_own_grid(folder, adapt, tmp_path):
    with rasterio.open(folder / "composite.tif") as file:
        bands = file.read()
    path = write_composite(tmp_path / "utm33.tif", bands, epsg=32633)
    rows, cols = pixels(200, 0)
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*(AFFINE @ (cols + 0.5, rows + 0.5)))
    classes = np.array(CLASSES, object)[land()[0][rows, cols]]
    labels = write_labels(tmp_path / "l.gpkg", shapely.points(lon, lat), class_=classes)

    moved, _ = adapt(labels, composites=[path])
    here, _ = adapt(out=tmp_path / "other.onnx")

    assert abs(moved.tried[0].gain.after - here.tried[0].gain.after) < 0.1
