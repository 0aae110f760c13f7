"""Sources of labels: Dynamic World's tiles, own rasters and polygons; places and splits."""

from datetime import date
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject

from lulcmap.catalog.period import Period, make_period
from lulcmap.dataset.chips import VOTES, Dataset
from lulcmap.dataset.dynamic_world import DynamicWorldTiles
from lulcmap.dataset.legend import DYNAMIC_WORLD, PLAIN, read_legend
from lulcmap.dataset.raster_labels import RasterLabels
from lulcmap.dataset.request import build_dataset
from lulcmap.dataset.sample import Sample
from lulcmap.dataset.settings import DatasetRequest, ImageArchive
from lulcmap.dataset.splits import assign_splits, overlapping_pairs
from lulcmap.dataset.user_labels import CHIP_SIZE_PX
from lulcmap.dataset.vector_labels import VectorLabels
from lulcmap.dataset.votes import SCHEMES, merge_votes
from lulcmap.errors import NoScenesError, UsageError
from lulcmap.imagery import CompositeRequest, composite_area
from lulcmap.legend import NAMES
from lulcmap.simulation.build import Country, simulate
from lulcmap.simulation.labels import LabelSet, simulate_labels

COUNTRY = Country(seed=9, height=200, width=260, s2_dates=3, s1_dates=2, cloud=0.1)
YEAR = make_period(year=2024, today=date(2026, 1, 1))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("country"), COUNTRY)


def write(path, codes, *, west=440_000, north=5_300_000, epsg=32632, size=10.0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    codes = codes if codes.ndim == 3 else codes[None]
    names = options.pop("names", ())
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(codes),
        height=codes.shape[1],
        width=codes.shape[2],
        dtype=codes.dtype,
        crs=f"EPSG:{epsg}",
        transform=Affine(size, 0, west, 0, -size, north),
        **options,
    ) as file:
        file.write(codes)
        if names:
            file.descriptions = names
    return path


def tile(folder, *, name="dw_8.2_47.8-20240129.tif", fill=1, **options):
    return write(folder / name, np.full((8, 8), fill, np.uint8), **options)


def sample_at(west, north, *, side=51, epsg=32632, annotator="expert", name=None):
    grid = GeoBox((side, side), Affine(10, 0, west, 0, -10, north), f"EPSG:{epsg}")
    name = name or f"{annotator}-{epsg}-{west:.0f}-{north:.0f}"
    return Sample(name, annotator, f"{name}.tif", (None,), grid)


# Codes


def test_codes_of_the_release_are_one_more_than_the_ids_and_neither_0_nor_10_is_a_class():
    codes = np.arange(11, dtype=np.uint8).reshape(1, 11)

    ids = DYNAMIC_WORLD.ids(codes)

    assert ids.tolist() == [[255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 255]]
    assert NAMES[ids[0, 1]] == "water"  # 1 in the release
    assert NAMES[ids[0, 9]] == "snow_and_ice"  # 9 in the release
    assert PLAIN.ids(np.uint8([0, 8, 9, 255])).tolist() == [0, 8, 255, 255]


def test_a_tile_is_read_by_those_codes(tmp_path):
    codes = np.tile(np.arange(11, dtype=np.uint8), (2, 1))
    write(tmp_path / "Experts" / "EH" / "4" / "dw_8.2_47.8-20240129.tif", codes)

    tiles = DynamicWorldTiles(tmp_path).find()

    (sample,) = tiles.samples
    assert tiles.read(sample).ids[0].tolist() == [255, *range(9), 255]
    assert sample.day == date(2024, 1, 29)
    assert sample.name == "expert-dw_8.2_47.8-20240129"


def test_own_classes_may_merge_codes_of_tiles(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("code,name\n2,wood\n6,open\n3,open\n")
    tile(tmp_path / "labels" / "Experts", fill=3)
    legend = read_legend(path)

    tiles = DynamicWorldTiles(tmp_path / "labels", legend).find()

    assert [cover.name for cover in legend.classes] == ["wood", "open"]
    assert (tiles.read(tiles.samples[0]).ids == 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,colour\nwood,00FF00\n", "expected the header code,name"),
        ("code,name\n1,wood\n1,water\n", "Line 3 .* repeats code 1"),
        ("code,name\n,wood\n", "Line 2 .* has no code or no name"),
        ("code,name,colour\n1,wood,green\n", "six hexadecimal digits"),
        ("", "the columns none"),
    ],
)
def test_classes_that_cannot_be_used_are_refused_with_the_line(text, message, tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text(text)

    with pytest.raises(UsageError, match=message):
        read_legend(path)


def test_classes_without_a_colour_get_one_of_their_own(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("code,name,colour\nv,vines,7b2d43\n1.0,trees,\n2,hedge,\n")

    legend = read_legend(path)

    assert [cover.colour for cover in legend.classes[:2]] == ["7B2D43", "397D49"]
    assert len({cover.colour for cover in legend.classes}) == 3
    assert dict(legend.codes) == {"v": 0, "1": 1, "2": 2}


# Folders of tiles


@pytest.mark.parametrize(
    ("folder", "annotator"),
    [
        ("Experts/EH/1", "expert"),
        ("train/Experts_tiles/WH/12", "expert"),
        ("Non_expert/WorkForce/EH/1", "nonexpert"),
        ("non-experts", "nonexpert"),
        ("validation_set_tiles", "holdout"),
        ("holdout/Experts", "holdout"),
        ("dw_test", "holdout"),
    ],
)
def test_folders_say_who_drew_a_tile(folder, annotator, tmp_path):
    tile(tmp_path / "x" / folder)

    (sample,) = DynamicWorldTiles(tmp_path / "x").find().samples

    assert sample.annotator == annotator
    assert sample.is_test == (annotator == "holdout")


def test_the_folder_given_counts_too(tmp_path):
    tile(tmp_path / "validation_set_tiles" / "expert_1")

    (sample,) = DynamicWorldTiles(tmp_path / "validation_set_tiles").find().samples

    assert sample.annotator == "holdout"


def test_folders_that_say_nothing_are_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    tile(tmp_path / "who" / "EH")

    with pytest.raises(
        UsageError, match=r"holds no label tile named dw_<lon>_<lat>-<YYYYMMDD>.tif"
    ):
        DynamicWorldTiles(tmp_path / "empty").find()
    with pytest.raises(UsageError, match=r"The annotator of .*dw_8.2_47.8-20240129.tif is unknown"):
        DynamicWorldTiles(tmp_path / "who").find()


def test_what_is_no_tile_is_left_out_and_told(tmp_path):
    good = tmp_path / "Experts"
    tile(good)
    tile(good, name="overview.tif")
    tile(good, name="dw_1_1-20241345.tif")
    tile(good, name="dw_2_2-20240129.tif", size=20.0)
    tile(good, name="dw_3_3-20240129.tif", epsg=3035)
    (good / "dw_4_4-20240129.tif").write_bytes(b"II*\0 cut short")
    tile(good / "again")

    tiles = DynamicWorldTiles(tmp_path).find()

    assert len(tiles.samples) == 1
    assert {Path(source).name: why for source, why in tiles.left_out.items()} == {
        "overview.tif": "its name is not dw_<lon>_<lat>-<YYYYMMDD>",
        "dw_1_1-20241345.tif": "20241345 is not a date",
        "dw_2_2-20240129.tif": "its pixels are 20 x 20 m, not 10 m and north up",
        "dw_3_3-20240129.tif": "its CRS is EPSG:3035, not a UTM zone",
        "dw_4_4-20240129.tif": "it cannot be read: it is broken or not a GeoTIFF",
        "dw_8.2_47.8-20240129.tif": "Experts/again/dw_8.2_47.8-20240129.tif is the same tile"
        if tiles.samples[0].source.startswith("Experts/again")
        else "Experts/dw_8.2_47.8-20240129.tif is the same tile",
    }


def test_votes_lie_in_a_folder_for_each_annotator(tmp_path):
    folder = tmp_path / "validation_set_tiles"
    for who, fill in {"non_expert": 7, "expert_2": 3, "expert_3": 2, "expert_1": 2}.items():
        tile(folder / "EH" / who, fill=fill)
    for who, fill in {"expert_2": 5, "non_expert": 1}.items():
        tile(folder / "EH" / who, name="dw_9_9-20240129.tif", fill=fill)

    tiles = DynamicWorldTiles(tmp_path).find()

    whole, part = (tiles.read(sample) for sample in tiles.samples)
    assert whole.votes[:, 0, 0].tolist() == [1, 2, 1, 6]
    assert part.votes[:, 0, 0].tolist() == [255, 4, 255, 0]
    for scheme in SCHEMES:
        tiles.votes = scheme
        np.testing.assert_array_equal(
            tiles.read(tiles.samples[0]).ids, merge_votes(whole.votes, scheme)
        )


def test_a_hold_out_with_too_many_annotators_is_refused(tmp_path):
    for who in "abcd":
        tile(tmp_path / "holdout" / who)

    with pytest.raises(UsageError, match="The hold-out has tiles by a, b, c, d; expected"):
        DynamicWorldTiles(tmp_path).find()


def test_the_released_consensus_is_the_band_of_the_experts_not_the_models(tmp_path):
    model, experts = np.full((8, 8), 4, np.uint8), np.full((8, 8), 4, np.uint8)
    write(
        tmp_path / "dw_test" / "label_dw_8.2_47.8-20240129.tif",
        np.stack([model + 1, experts]),
        names=("label", "lulc"),
    )
    write(tmp_path / "dw_test" / "probs_dw_8.2_47.8-20240129.tif", np.zeros((9, 8, 8), np.float32))

    tiles = DynamicWorldTiles(tmp_path).find()

    label = tiles.read(tiles.samples[0])
    assert (label.ids == 3).all()
    assert label.votes is None
    assert tiles.left_out == {}


def test_votes_count_more_than_the_consensus_of_the_same_tile(tmp_path):
    tile(tmp_path / "dw_test", name="label_dw_8.2_47.8-20240129.tif", fill=9)
    for who in ("expert_1", "expert_2", "expert_3", "non_expert"):
        tile(tmp_path / "validation_set_tiles" / who, fill=2)

    tiles = DynamicWorldTiles(tmp_path).find()

    assert len(tiles.samples) == 1
    assert (tiles.read(tiles.samples[0]).ids == 1).all()
    assert list(tiles.left_out) == ["dw_test/label_dw_8.2_47.8-20240129.tif"]


def test_a_simulated_hold_out_has_four_who_disagree_a_little(scenes, tmp_path):
    folder = simulate_labels(
        tmp_path, COUNTRY, scenes, LabelSet(size=90, experts=1, nonexperts=1, holdout=1)
    )
    build_dataset(
        DatasetRequest(folder, archive=ImageArchive(str(scenes.items)), votes="majority"),
        tmp_path / "out",
    )
    dataset = Dataset.open(tmp_path / "out")
    (chip,) = dataset.split("test")

    votes = dataset.votes(chip)

    assert votes.shape == (4, 90, 90)
    both = (votes[0] != 255) & (votes[1] != 255)
    assert 0.85 < (votes[0] == votes[1])[both].mean() < 1
    np.testing.assert_array_equal(dataset.read(chip).label, merge_votes(votes, "majority"))
    assert not dataset.path(dataset.split("train")[0], VOTES).exists()
    codes = {
        code
        for path in folder.rglob("dw_*.tif")
        for code in np.unique(rasterio.open(path).read(1)).tolist()
    }
    assert codes <= set(range(11))
    assert codes & {0, 10}


def test_the_same_country_gives_the_same_label_tiles(scenes, tmp_path):
    few = LabelSet(size=60, experts=1, nonexperts=1, holdout=1)
    one, two = (simulate_labels(tmp_path / name, COUNTRY, scenes, few) for name in "ab")

    tiles = sorted(path.relative_to(one) for path in one.rglob("*.tif"))

    assert len(tiles) == 1 + 1 + 4
    assert all((one / path).read_bytes() == (two / path).read_bytes() for path in tiles)
    with pytest.raises(ValueError, match="only 12 of 50 tiles of 60 pixels fit"):
        simulate_labels(tmp_path, COUNTRY, scenes, LabelSet(size=60, experts=39))


# Places and splits


def test_tiles_that_overlap_are_one_place_and_tiles_that_touch_are_not():
    samples = [sample_at(x, 5_300_000) for x in (440_000, 440_400, 440_910, 450_000)]

    places = assign_splits(samples, validation=0.5)

    names = [places.place[sample.name] for sample in samples]
    assert names[0] == names[1] != names[2] != names[3]


def test_tiles_overlap_across_zones():
    lon, lat = 12.0, 47.0  # zones 32 and 33 meet
    samples = []
    for epsg in (32632, 32633):
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
        samples.append(sample_at(round(x, -1) - 250, round(y, -1) + 250, epsg=epsg))
    apart = sample_at(440_000, 5_300_000)

    assert overlapping_pairs([sample.grid for sample in (*samples, apart)]) == [(0, 1)]
    assert len(set(assign_splits([*samples, apart], validation=0.1).place.values())) == 2


def test_tiles_overlap_across_180_degrees():
    samples = []
    for epsg, lon in ((32701, -179.999), (32760, 179.999)):
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, -17.0)
        samples.append(sample_at(round(x, -1) - 250, round(y, -1) + 250, epsg=epsg))

    assert overlapping_pairs([sample.grid for sample in samples]) == [(0, 1)]


def test_training_tiles_on_ground_of_the_hold_out_are_left_out():
    held = sample_at(440_000, 5_300_000, annotator="holdout")
    on_it, linked, free = (sample_at(x, 5_300_000) for x in (440_300, 440_700, 450_000))

    places = assign_splits([free, linked, on_it, held], validation=0.0)

    assert places.split == {held.name: "test", free.name: "train"}
    assert set(places.left_out) == {on_it.name, linked.name}
    assert held.source in places.left_out[on_it.name]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from(["expert", "holdout"])),
        min_size=1,
        max_size=25,
        unique_by=lambda at: at[:2],
    ),
    st.randoms(use_true_random=False),
)
def test_no_ground_is_in_two_splits_whatever_the_tiles_and_their_order(ats, random):
    samples = [
        sample_at(440_000 + 130 * x, 5_300_000 - 130 * y, annotator=who) for x, y, who in ats
    ]
    shuffled = random.sample(samples, len(samples))

    places = assign_splits(samples, validation=0.3, test=0.2)

    assert places == assign_splits(shuffled, validation=0.3, test=0.2)
    assert places.split.keys() | places.left_out.keys() == {one.name for one in samples}
    for i, one in enumerate(samples):
        for other in samples[:i]:
            near = abs(np.subtract(*[(s.grid.affine.c, s.grid.affine.f) for s in (one, other)]))
            splits = {places.split.get(s.name) for s in (one, other)} - {None}
            if (near < 510).all():
                assert len(splits) <= 1
                assert places.place[one.name] == places.place[other.name]


def test_a_place_keeps_its_split_when_others_come():
    few = [sample_at(440_000 + 1000 * i, 5_300_000) for i in range(40)]
    many = [*few, *(sample_at(440_000 + 1000 * i, 5_350_000) for i in range(40))]

    before, after = (assign_splits(samples, validation=0.2).split for samples in (few, many))

    assert before.items() <= after.items()
    assert 2 <= list(before.values()).count("validation") <= 16


def test_a_few_places_have_one_for_validation():
    for count in range(2, 6):
        samples = [sample_at(440_000 + 1000 * i, 5_300_000) for i in range(count)]
        assert "validation" in assign_splits(samples, validation=0.1).split.values()
        assert "validation" not in assign_splits(samples, validation=0.0).split.values()


# Own labels


def clear(grid, path):
    """Pixels whose centres lie off the edges of a raster's: GDAL's warp is 0.005 pixels off."""
    cols, rows = np.meshgrid(*(np.arange(CHIP_SIZE_PX) + 0.5,) * 2)
    with rasterio.open(path) as file:
        to_file = Transformer.from_crs(str(grid.crs), file.crs, always_xy=True)
        back = ~file.transform
    x, y = to_file.transform(grid.affine.c + 10 * cols, grid.affine.f - 10 * rows)
    places = back.a * x + back.c, back.e * y + back.f
    return np.logical_and(*(abs(place - np.round(place)) > 0.01 for place in places))


@pytest.mark.parametrize(
    ("epsg", "size"), [(32632, 10.0), (32632, 3.0), (3035, 15.0), (4326, 3e-4)]
)
def test_an_own_raster_is_sampled_at_the_nearest_pixel(epsg, size, tmp_path):
    codes = np.random.default_rng(0).integers(0, 9, (90, 110)).astype(np.uint8)
    x, y = Transformer.from_crs(32632, epsg, always_xy=True).transform(443_333, 5_301_117)
    path = write(tmp_path / "own.tif", codes, west=x, north=y, epsg=epsg, size=size)

    labels = RasterLabels(path, PLAIN).find()

    n_labelled = 0
    for sample in labels.samples:
        expected = np.full((CHIP_SIZE_PX, CHIP_SIZE_PX), 255, np.uint8)
        with rasterio.open(path) as file:
            reproject(
                codes,
                expected,
                src_transform=file.transform,
                src_crs=file.crs,
                src_nodata=255,
                dst_nodata=255,
                dst_transform=sample.grid.affine,
                dst_crs=str(sample.grid.crs),
                resampling=Resampling.nearest,
                tolerance=0,
            )
        ids = labels.read(sample).ids
        n_labelled += int((ids != 255).sum())
        np.testing.assert_array_equal(*(one[clear(sample.grid, path)] for one in (ids, expected)))
        assert (
            sample.grid.affine.c % (10 * CHIP_SIZE_PX)
            == sample.grid.affine.f % (10 * CHIP_SIZE_PX)
            == 0
        )
    assert n_labelled > 0


def test_codes_without_a_class_are_unknown_and_told(tmp_path):
    classes = tmp_path / "classes.csv"
    classes.write_text("code,name,colour\n7,vines,7B2D43\n9,orchard,00AA00\n8,vines,\n")
    codes = np.uint16([[7, 8, 9], [300, 0, 7]])
    path = write(tmp_path / "own.tif", codes, nodata=0)
    labels = RasterLabels(path, read_legend(classes)).find()

    ids = np.concatenate([labels.read(sample).ids.ravel() for sample in labels.samples])

    assert np.bincount(ids)[:2].tolist() == [3, 1]
    assert labels.left_out == {"own.tif: code 300": "it has no class"}


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda p: write(p, np.zeros((2, 4, 4), np.uint8)), "have 2 bands of uint8"),
        (lambda p: write(p, np.zeros((4, 4), np.float32)), "have 1 band of float32"),
        (lambda p: p.write_bytes(b"no raster"), "cannot be read as a raster"),
        (
            lambda p: write(p, np.full((4, 4), 77, np.uint8)),
            "its codes are 77, those of",
        ),
    ],
)
def test_a_raster_that_cannot_be_used_is_refused(make_it, message, tmp_path):
    make_it(tmp_path / "own.tif")

    with pytest.raises(UsageError, match=message):
        RasterLabels(tmp_path / "own.tif", PLAIN).find()


def put_polygons(path, shapes, codes, *, crs="EPSG:32632", attribute="code"):
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes, object)),
        field_data=[np.array(codes)],
        fields=[attribute],
        geometry_type="Polygon",
        crs=crs,
        layer="own",
    )
    return path


def test_own_polygons_are_drawn_where_pixel_centres_lie_in_them(tmp_path):
    shapes = [
        shapely.Point(443_000, 5_298_000).buffer(900),
        shapely.box(443_204, 5_297_003, 445_111, 5_298_337),
        shapely.box(447_000, 5_297_003, 447_500, 5_298_337),
    ]
    classes = tmp_path / "classes.csv"
    classes.write_text("code,name\nvines,vines\nwood,trees\n")
    path = put_polygons(tmp_path / "own.gpkg", shapes, ["vines", "wood", "road"], attribute="use")

    labels = VectorLabels(path, read_legend(classes), attribute="use").find()

    assert labels.left_out == {"own.gpkg: code road": "it has no class"}
    total = 0
    for sample in labels.samples:
        expected = rasterize(
            [(shapes[0], 0), (shapes[1], 1)],
            out_shape=(CHIP_SIZE_PX, CHIP_SIZE_PX),
            fill=255,
            transform=sample.grid.affine,
            dtype="uint8",
        )
        ids = labels.read(sample).ids
        total += int((ids != 255).sum())
        assert (ids != expected).sum() <= 2  # a centre on an edge, by way of degrees
    assert total == pytest.approx(shapely.union(*shapes[:2]).area / 100, rel=0.01)


def test_polygons_that_cannot_be_used_are_refused(tmp_path):
    box = shapely.box(443_204, 5_297_003, 445_111, 5_298_337)
    path = put_polygons(tmp_path / "own.gpkg", [box], [3])

    with pytest.raises(UsageError, match="has no attribute 'use'; it has code"):
        VectorLabels(path, PLAIN, attribute="use")
    with pytest.raises(UsageError, match="No file"):
        VectorLabels(tmp_path / "none.gpkg", PLAIN)
    with pytest.raises(UsageError, match="or the right --attribute"):
        VectorLabels(put_polygons(tmp_path / "b.gpkg", [box], [99]), PLAIN).find()
    (tmp_path / "c.gpkg").write_text("no vector")
    with pytest.raises(UsageError, match="cannot be read"):
        VectorLabels(tmp_path / "c.gpkg", PLAIN)


def test_labels_near_the_border_of_zones_are_in_one_zone_only(tmp_path):
    path = put_polygons(
        tmp_path / "own.geojson", [shapely.box(11.9, 47.0, 12.1, 47.05)], [3], crs="EPSG:4326"
    )

    samples = VectorLabels(path, PLAIN).find().samples

    assert {sample.epsg for sample in samples} == {32632, 32633}
    for sample in samples:
        x, y = sample.grid.affine @ (CHIP_SIZE_PX / 2, CHIP_SIZE_PX / 2)
        middle = Transformer.from_crs(sample.epsg, 4326, always_xy=True).transform(x, y)[0]
        assert (middle < 12) == (sample.epsg == 32632)


def test_own_labels_get_the_composites_a_map_would_be_made_from(scenes, tmp_path):
    out = tmp_path / "out"

    result = build_dataset(
        DatasetRequest(
            scenes.truth, archive=ImageArchive(str(scenes.items)), period=YEAR, validation=0.0
        ),
        out,
    )

    dataset = Dataset.open(out)
    truth = rasterio.open(scenes.truth).read(1)
    assert sum(sum(row.counts) for row in result.rows) == truth.size
    assert [sum(row.counts[k] for row in result.rows) for k in range(9)] == np.bincount(
        truth.ravel(), minlength=9
    ).tolist()
    everywhere = shapely.MultiPolygon([shapely.box(-180, -85, 180, 85)])
    for chip in dataset.rows:
        with rasterio.open(dataset.path(chip, "s2.tif")) as file:
            grid = GeoBox(file.shape, file.transform, file.crs)
        expected = composite_area(everywhere, grid, CompositeRequest(YEAR, str(scenes.items)))
        seen = dataset.read(chip)
        s2, s1 = seen.s2, seen.s1
        np.testing.assert_array_equal(s2, expected.s2)
        np.testing.assert_array_equal(s1, expected.s1)
        assert set(chip.s2) | set(chip.s1) == set(expected.used)
        assert (chip.annotator, chip.date) == ("own", "2024-07-01")


def test_own_labels_need_a_period_with_scenes(scenes, tmp_path):
    archive = ImageArchive(str(scenes.items))
    day = Period(date(2023, 5, 1), date(2023, 5, 2), "x")

    with pytest.raises(UsageError, match="The period of the labels is missing"):
        build_dataset(DatasetRequest(scenes.truth, archive=archive), tmp_path / "out")
    with pytest.raises(NoScenesError, match="No Sentinel-2 scene of the labels was found"):
        build_dataset(DatasetRequest(scenes.truth, archive=archive, period=day), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_polygons_past_180_are_those_within(tmp_path):
    boxes = [shapely.box(lon, 10.0, lon + 0.05, 10.05) for lon in (-160.0, 200.0)]
    paths = [
        put_polygons(tmp_path / f"{n}.gpkg", [box], [3], crs="EPSG:4326")
        for n, box in enumerate(boxes)
    ]

    one, other = (VectorLabels(path, PLAIN).find() for path in paths)

    assert [sample.name for sample in one.samples] == [sample.name for sample in other.samples]
    for sample in one.samples:
        np.testing.assert_array_equal(one.read(sample).ids, other.read(sample).ids)


def test_labels_that_are_a_scribble_are_refused(tmp_path):
    scribble = shapely.Polygon(
        np.random.default_rng(0).random((300, 2)) * 1000 + (443_000, 5_298_000)
    )

    with pytest.raises(UsageError, match="cross themselves"):
        VectorLabels(put_polygons(tmp_path / "a.gpkg", [scribble], [3]), PLAIN)


def test_labels_in_a_datum_that_is_not_known_are_warned_of(tmp_path, caplog):
    box = shapely.box(100, 30, 100.05, 30.05)

    VectorLabels(put_polygons(tmp_path / "a.gpkg", [box], [3], crs="EPSG:4214"), PLAIN)

    assert "a.gpkg: The accuracy of the shift from Beijing 1954" in caplog.text


def test_without_classes_codes_are_dynamic_world_s_and_any_other_is_refused(
    scenes, tmp_path, caplog
):
    west, _, _, north = Transformer.from_crs(4326, 32632, always_xy=True).transform_bounds(
        *shapely.from_geojson(scenes.aoi.read_text()).bounds
    )
    codes = np.full((20, 20), 4, np.uint8)
    codes[0, 0] = 255  # no label
    place = {"west": round(west + 200, -1), "north": round(north - 200, -1)}
    fine = write(tmp_path / "fine.tif", codes, **place)
    codes[5, 5] = 40  # WorldCover's cropland
    foreign = write(tmp_path / "foreign.tif", codes, **place)
    archive = ImageArchive(catalog=str(scenes.items))

    made = build_dataset(DatasetRequest(fine, archive, period=YEAR), tmp_path / "made")
    with pytest.raises(UsageError, match=r"codes 40, which are none of Dynamic World's.*--classes"):
        build_dataset(DatasetRequest(foreign, archive, period=YEAR), tmp_path / "refused")

    assert made.rows
    assert "0 water, 1 trees" in caplog.text
