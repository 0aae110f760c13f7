"""Damage on the disk between two runs: what is bad is made again and said, and no more changes."""

import json
import logging

import pytest

from lulcmap.catalog.period import make_period
from lulcmap.errors import OutputError, UsageError
from lulcmap.output import assemble_run
from lulcmap.pipeline import estimate_map, map_area, map_shard
from lulcmap.run import RunFolder, Shard
from tests.support.beside import with_sidecars

PERIOD = make_period(year=2024)


def flip(path, *, share=0.5):
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 4
    path.write_bytes(content)


@pytest.fixture(scope="module")
def whole(country, settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    return map_area(str(country.aoi), out, period=PERIOD, settings=settings())


def test_a_damaged_block_is_made_again_and_the_map_is_the_same(
    country, settings, whole, tmp_path, caplog
):
    out = tmp_path / "map.tif"
    map_shard(str(country.aoi), out, shard=Shard(1, 1), period=PERIOD, settings=settings())
    blocks = sorted((tmp_path / "map.tif.run" / "blocks").iterdir())
    flip(blocks[3])
    with pytest.raises(UsageError, match=f"damaged: {blocks[3].stem}"):
        assemble_run(tmp_path / "map.tif.run")

    with caplog.at_level(logging.WARNING):
        report = map_area(str(country.aoi), out, period=PERIOD, settings=settings())

    assert f"Block {blocks[3].stem} in" in caplog.text
    assert out.read_bytes() == whole.map.read_bytes()
    (warning,) = [text for text in report.warnings if "damaged" in text]
    assert blocks[3].stem in warning
    assert json.loads((tmp_path / "map.tif.report.json").read_text())["warnings"] == list(
        report.warnings
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == with_sidecars("map.tif")


def test_a_block_damaged_after_it_was_checked_stops_the_map(
    country, settings, tmp_path, monkeypatch
):
    out = tmp_path / "map.tif"
    map_shard(str(country.aoi), out, shard=Shard(1, 1), period=PERIOD, settings=settings())
    facts = RunFolder.facts

    def damaged(self, number):
        found = facts(self, number)
        flip(self.block_path(number), share=0.6)
        return found

    monkeypatch.setattr(RunFolder, "facts", damaged)
    with pytest.raises(OutputError, match="make the block again"):
        assemble_run(tmp_path / "map.tif.run")

    assert not out.exists()


def test_a_damaged_map_is_made_again_from_its_blocks(country, settings, whole, tmp_path, caplog):
    out, kept = tmp_path / "map.tif", settings(keep_run=True)
    map_area(str(country.aoi), out, period=PERIOD, settings=kept)
    blocks = {path: path.stat().st_mtime_ns for path in tmp_path.glob("map.tif.run/blocks/*")}
    content = out.read_bytes()

    for damaged in (content[: len(content) // 2], content[:100], content[:-1], content + b"\0"):
        out.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            again = map_area(str(country.aoi), out, period=PERIOD, settings=kept)

        assert "map.tif is made again" in caplog.text
        assert not again.already_made
        assert out.read_bytes() == whole.map.read_bytes()
    assert blocks == {path: path.stat().st_mtime_ns for path in blocks}
    assert map_area(str(country.aoi), out, period=PERIOD, settings=kept).already_made


def test_old_sidecars_go_with_the_map_they_belong_to(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(s1="off"))
    for name in ("map.tif.aux.xml", "map.tif.ovr", "map.tfw", "map.qml"):
        (tmp_path / name).write_text("?")

    with pytest.raises(OutputError):
        map_area(str(country.aoi), out, period=PERIOD, settings=settings())
    assert (tmp_path / "map.tif.ovr").exists()
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(overwrite=True))

    assert (tmp_path / "map.qml").read_text() == "?"  # somebody's work
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(["map.tfw", *with_sidecars("map.tif")])


@pytest.mark.parametrize(
    "name", ["x" * 239 + ".tif", "é" * 119 + ".tif", "a." + "b" * 237 + ".tif"]
)
def test_a_map_may_have_a_long_name(country, settings, whole, tmp_path, name):
    out = tmp_path / name

    map_area(str(country.aoi), out, period=PERIOD, settings=settings())

    assert out.read_bytes() == whole.map.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == set(with_sidecars(name))


@pytest.mark.parametrize(
    "name",
    ["x" * 244, "zip:map.tif", "GTIFF_DIR:1:map.tif", "s3://b/map.tif", "/vsimem/m.tif", "-"],
)
def test_a_name_that_cannot_work_ends_before_the_search(
    country, settings, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lulcmap.pipeline.plan_map", None)

    with pytest.raises(OutputError) as refused:
        map_area(str(country.aoi), type(tmp_path)(name), period=PERIOD, settings=settings())

    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_map_is_not_written_into_its_run_nor_made_from_its_items(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(keep_run=True))
    run = tmp_path / "map.tif.run"
    items = (run / "items.json").read_bytes()

    for inside in (
        run / "map.tif",
        run / "blocks" / "new.tif",
        tmp_path / "x" / ".." / run / "m.tif",
    ):
        with pytest.raises(OutputError, match=r"in the run folder|No folder"):
            assemble_run(run, inside)
    for call in (map_area, estimate_map):
        with pytest.raises(OutputError, match="lies in the run folder"):
            call(
                str(country.aoi),
                out,
                period=PERIOD,
                settings=settings(catalog=str(run / "items.json")),
            )

    assert (run / "items.json").read_bytes() == items
