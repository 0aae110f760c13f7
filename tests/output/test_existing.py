"""A map counts as made only if every file of it, and its report, is as it was written."""

import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lulcmap.errors import OutputError
from lulcmap.geo import Box, geobox
from lulcmap.legend import CLASSES
from lulcmap.output.cog import write_cog
from lulcmap.output.existing import finished_map, made_before
from lulcmap.output.paths import check_writable
from lulcmap.output.provenance import map_tags
from lulcmap.output.report import MapReport, WrittenFile, report_path
from tests.support.records import make_about, make_facts, make_plan

PLAN = make_plan()
BOX = Box(-500_000, 40_000, 700, 1100)


def values() -> np.ndarray:
    random = np.random.default_rng(0)
    classes = random.integers(0, 9, BOX.shape, np.uint8).repeat(3, 0)[: BOX.shape[0]]
    classes[:100] = 255
    return classes


def source(path: Path) -> Path:
    height, width = BOX.shape
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 255, "tiled": True}
    with rasterio.open(
        *(path, "w"),
        height=height,
        width=width,
        crs="EPSG:32632",
        transform=geobox(BOX, 32632).affine,
        **profile,
    ) as file:
        file.write(values(), 1)
    return path


def make_map(out: Path, *, plan=PLAN) -> Path:
    """A finished map and its report, as ``assemble_map`` leaves them."""
    about = make_about(plan)
    counts = np.bincount(values().ravel(), minlength=256)
    facts = make_facts(
        plan.digest,
        pixels={"s2_and_s1": int(counts[:255].sum()), "not_mapped": int(counts[255])},
        classes={cover.name: int(counts[cover.id]) for cover in CLASSES},
    )
    written = WrittenFile(out.name, "EPSG:32632", *BOX.shape)
    report = MapReport.collect(out, [facts], plan, about, maps=[written], min_coverage=0.5)
    mosaic = source(out.with_name("mosaic.tif"))
    size, sha256 = write_cog(mosaic, out, tags=map_tags(plan, about, report))
    mosaic.unlink()
    replace(report, maps=(replace(written, bytes=size, sha256=sha256),)).write()
    return out


def found(out: Path, **how: object) -> MapReport | None:
    asked = {"remote": False, "zones": False, "overwrite": False, "min_coverage": 0.5}
    return made_before(out, PLAN, **{**asked, **how})


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return make_map(tmp_path_factory.mktemp("whole") / "map.tif")


@pytest.fixture
def out(whole, tmp_path) -> Path:
    for path in (whole, report_path(whole)):
        shutil.copy(path, tmp_path)
    return tmp_path / whole.name


def as_version_0_1_0(out: Path) -> None:
    """Leave the checksums out of the report."""
    path = report_path(out)
    report = json.loads(path.read_text())
    del report["report_sha256"]
    for written in report["maps"]:
        del written["bytes"], written["sha256"]
    path.write_text(json.dumps(report))


def test_a_whole_map_is_found(out):
    report = found(out)

    assert report is not None
    assert report.already_made
    assert finished_map(out, zones=False, min_coverage=0.5) == report


def test_map_and_report_may_be_renamed_together(out):
    new = out.rename(out.with_name("luxembourg.2024.tif"))
    report_path(out).rename(report_path(new))

    assert found(new) is not None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_map_cut_anywhere_is_made_again(out, whole, share):
    out.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])

    check_writable(out)
    assert found(out) is None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 2**40), width=st.sampled_from([0, 0, 0, 1, 100, 5000]))
def test_a_map_with_a_flipped_bit_or_a_hole_is_never_believed(out, whole, place, width):
    content = bytearray(whole.read_bytes())
    at = place // 8 % len(content)
    content[at] ^= 1 << place % 8
    content[at : at + width] = bytes(len(content[at : at + width]))
    assume(content != whole.read_bytes())
    out.write_bytes(content)

    try:
        assert found(out) is None
    except OutputError as refused:  # the digest of its plan is another now
        assert "is not this map" in str(refused)  # noqa: PT017


def test_damage_is_said(out, caplog):
    content = bytearray(out.read_bytes())
    content[-500] ^= 1
    out.write_bytes(content)

    with caplog.at_level(logging.WARNING):
        assert found(out) is None

    assert "map.tif is made again: map.tif is not as it was written." in caplog.text
    with pytest.raises(OutputError, match="its run is gone"):
        finished_map(out, zones=False, min_coverage=0.5)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 2**40))
def test_a_report_with_a_flipped_bit_is_not_shown(out, whole, place):
    content = bytearray(report_path(whole).read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    report_path(out).write_bytes(content)
    before = found(whole)

    report = found(out)

    assert report is None or report == replace(before, map=out)  # a blank may be another blank


def test_a_cut_report_is_not_shown(out, whole):
    text = report_path(whole).read_bytes()
    for length in (0, 1, len(text) // 2, len(text) - 3):
        report_path(out).write_bytes(text[:length])
        assert found(out) is None


def test_a_map_of_version_0_1_0_is_read_through(out, whole):
    as_version_0_1_0(out)
    assert found(out) is not None

    content = whole.read_bytes()
    middle = len(content) // 2
    for damaged in (
        content[:middle],
        content[:-100],
        content[:middle] + bytes(3000) + content[middle + 3000 :],
        content[: middle + 7] + bytes([content[middle + 7] ^ 16]) + content[middle + 8 :],
    ):
        out.write_bytes(damaged)
        assert found(out) is None


def test_a_map_of_version_0_1_0_that_lost_a_tile_has_other_classes_than_its_report(out):
    as_version_0_1_0(out)
    tags = rasterio.open(out).tags()
    changed = values()
    changed[512:, :512] = 255
    with rasterio.open(source(out.with_name("mosaic.tif")), "r+") as file:
        file.write(changed, 1)
    write_cog(out.with_name("mosaic.tif"), out, tags=tags)

    assert found(out) is None


def test_another_map_of_lulcmap_is_replaced_only_when_asked(out):
    make_map(out, plan=make_plan(prior="balanced"))

    with pytest.raises(OutputError, match="Give --overwrite"):
        found(out)
    assert found(out, overwrite=True) is None


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_file_in_the_place_of_a_map_is_refused_beside_its_report(out, overwrite):
    """Also a raster, and one that is longer."""
    raster = source(out.with_name("mine.tif")).read_bytes()
    for content in (b"precious", raster, bytes(out.stat().st_size + 1)):
        out.write_bytes(content)
        with pytest.raises(OutputError, match="nor any made by lulcmap"):
            check_writable(out)
        with pytest.raises(OutputError, match="nor any made by lulcmap"):
            found(out, overwrite=overwrite)
        assert out.read_bytes() == content


def test_a_foreign_file_in_the_place_of_the_report_is_refused(tmp_path):
    out = tmp_path / "map.tif"
    report_path(out).write_text("mine")

    with pytest.raises(OutputError, match="not the report of a map"):
        check_writable(out)

    make_map(out)
    check_writable(out)


def test_a_part_of_the_map_that_is_not_ours_is_refused_too(out):
    plan = make_plan(crs=("EPSG:32632", "EPSG:32632"))
    out.with_name("map-2.tif").write_text("mine")

    with pytest.raises(
        OutputError, match=r"map-2\.tif exists and is not this map, nor any made by lulcmap"
    ):
        made_before(out, plan, remote=False, zones=False, overwrite=True, min_coverage=0.5)


def test_names_of_further_files_that_are_too_long_are_refused_before_the_map(tmp_path):
    out = tmp_path / f"{'x' * 237}.tif"
    check_writable(out)

    with pytest.raises(OutputError, match="at most 243 bytes"):
        found(out, zones=True)


def test_a_case_variant_of_the_name_is_another_file_or_the_same_one(out):
    other = out.with_name("MAP.TIF")
    if other.exists():  # a filesystem without cases
        check_writable(other)
    other.write_text("mine")

    with pytest.raises(OutputError, match="nor any made by lulcmap"):
        check_writable(other)


@pytest.mark.skipif(os.name == "nt", reason="paths are bytes on POSIX alone")
def test_a_name_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(OutputError, match="no text"):
        check_writable(tmp_path / os.fsdecode(b"map\xff.tif"))
