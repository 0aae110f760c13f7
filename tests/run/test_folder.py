import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from lulcmap.errors import OutputError, UsageError
from lulcmap.geo.grid import geobox
from lulcmap.geo.tiling import Box
from lulcmap.run import BLOCK_BANDS, RunFolder, hold_run
from tests.support.disk import full_disk

PLAN = {"period": ["2024-01-01", "2024-12-31"], "rules": {"min_clear": 5}, "digest": "aa"}
ITEMS = {"type": "FeatureCollection", "features": [{"id": "one"}]}
NUMBER = (32632, 12, -3)
BOX = Box(-500_000, 40_000, 600, 700)
ABOUT = {"name": "somewhere"}
FACTS = {"used": ["é <&>"], "classes": {"water": 3}, "plan": "aa"}


def bands(seed: int = 0, box: Box = BOX) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 101, (6, *box.shape), np.uint8)


def with_block(path: Path) -> RunFolder:
    run = RunFolder.open(path, PLAN, ITEMS, ABOUT)
    run.write_block(NUMBER, bands(), geobox(BOX, 32632), FACTS)
    return run


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_new_run_freezes_its_plan_and_items(tmp_path):
    run = RunFolder.open(tmp_path / "deep" / "map.run", PLAN, ITEMS, ABOUT)

    assert run.plan() == PLAN
    assert json.loads(run.items_path.read_text()) == ITEMS
    assert files(run.path) == ["about.json", "items.json", "plan.json"]


def test_the_same_plan_resumes_with_its_blocks_and_first_items(tmp_path):
    with_block(tmp_path)

    run = RunFolder.open(
        tmp_path, {**PLAN, "period": tuple(PLAN["period"])}, {"features": []}, ABOUT
    )

    assert run.done(NUMBER, BOX, plan="aa")
    assert json.loads(run.items_path.read_text()) == ITEMS


def test_another_plan_is_refused_with_the_differences(tmp_path):
    with_block(tmp_path)

    with pytest.raises(UsageError) as refused:
        RunFolder.open(tmp_path, {**PLAN, "rules": {"min_clear": 3}, "s1": "off"}, ITEMS, ABOUT)

    assert '  rules.min_clear: was 5, now 3\n  s1: was null, now "off"\n' in str(refused.value)
    assert "period" not in str(refused.value)
    assert RunFolder(tmp_path).done(NUMBER, BOX, plan="aa")


def test_many_differences_are_counted_and_long_ones_cut(tmp_path):
    RunFolder.open(tmp_path, {f"k{i}": ["x" * 30] * (i + 3) for i in range(9)}, ITEMS, ABOUT)

    with pytest.raises(UsageError) as refused:
        RunFolder.open(tmp_path, {f"k{i}": "y" * 99 for i in range(9)}, ITEMS, ABOUT)

    assert 'k0: was 3 entries, now "yyy' in str(refused.value)
    assert "and 4 more differences" in str(refused.value)
    assert max(map(len, str(refused.value).splitlines())) < 120 + len(str(tmp_path))


@pytest.mark.parametrize("text", ["", '{"period": ["2024', "[]"])
def test_a_half_written_plan_is_no_plan_and_its_blocks_are_not_trusted(tmp_path, text):
    run = with_block(tmp_path)
    run.plan_path.write_text(text)

    assert run.plan() is None
    again = RunFolder.open(tmp_path, {**PLAN, "s1": "off"}, ITEMS, ABOUT)

    assert again.plan() == {**PLAN, "s1": "off"}
    assert again.is_done(NUMBER, BOX, plan="aa")  # the plan it was made to
    assert not again.is_done(NUMBER, BOX, plan="bb")
    assert again.block_path(NUMBER).exists()
    assert not again.done(NUMBER, BOX, plan="bb")
    assert not again.block_path(NUMBER).exists()


@pytest.mark.parametrize("name", ["plan_path", "about_path"])
def test_a_file_that_cannot_be_read_now_is_not_taken_for_none(tmp_path, name):
    """As over a network mount that went away: nothing is removed."""
    run = with_block(tmp_path)
    path = getattr(run, name)
    path.unlink()
    path.mkdir()

    with pytest.raises(OutputError, match="cannot be used"):
        run.plan() if name == "plan_path" else run.about()
    with pytest.raises(OutputError), hold_run(tmp_path):
        run.plan() if name == "plan_path" else run.about()

    assert run.is_done(NUMBER, BOX, plan="aa")


def test_a_block_that_cannot_be_read_now_is_not_removed(tmp_path):
    run = with_block(tmp_path)
    path = run.block_path(NUMBER)
    path.rename(tmp_path / "kept")
    path.mkdir()

    with pytest.raises(OutputError, match="cannot be used"):
        run.done(NUMBER, BOX, plan="aa")

    assert path.exists()


def test_what_a_killed_run_left_half_written_is_removed_and_no_more(tmp_path):
    run = with_block(tmp_path)
    half = [
        run.path / "plan.json.part",
        run.block_path((32632, 0, 0)).with_name("z32632_r0_c0.tif.part"),
    ]
    others = [tmp_path / "film.part", tmp_path / "notes.txt"]
    for path in half + others:
        path.write_text("?")

    RunFolder.open(tmp_path, PLAN, ITEMS, ABOUT)

    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in others)
    assert run.done(NUMBER, BOX, plan="aa")


def test_a_block_comes_back_as_it_was_written(tmp_path):
    run = with_block(tmp_path)

    with rasterio.open(run.block_path(NUMBER)) as block:
        read, grid = block.read(), geobox(BOX, 32632)
        assert (block.crs.to_epsg(), block.transform) == (32632, grid.affine)
        assert (block.nodata, block.descriptions) == (255, BLOCK_BANDS)
        assert (block.profile["compress"], block.block_shapes[0]) == ("deflate", (512, 512))
    np.testing.assert_array_equal(read, bands())
    assert run.facts(NUMBER) == FACTS
    assert run.done(NUMBER, BOX, plan="aa")
    assert files(tmp_path) == ["about.json", "blocks/z32632_r12_c-3.tif", "items.json", "plan.json"]


def test_the_same_run_gives_the_same_bytes_anywhere(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]

    digests = [
        {name: hashlib.sha256((run.path / name).read_bytes()).hexdigest() for name in files(folder)}
        for folder in folders
        for run in [with_block(folder)]
    ]

    assert digests[0] == digests[1]
    assert str(tmp_path).encode() not in (folders[0] / "blocks/z32632_r12_c-3.tif").read_bytes()


@pytest.mark.parametrize("wrong", [np.zeros((5, 600, 700), np.uint8), np.zeros((6, 600, 700))])
def test_a_block_of_another_form_is_a_mistake_in_the_code(tmp_path, wrong):
    run = RunFolder.open(tmp_path, PLAN, ITEMS, ABOUT)

    with pytest.raises(ValueError, match="a block of"):
        run.write_block(NUMBER, wrong, geobox(BOX, 32632), FACTS)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def blot(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, blot, empty])
def test_a_damaged_block_is_not_done_and_is_removed(tmp_path, damage):
    run = with_block(tmp_path)
    damage(run.block_path(NUMBER))

    assert not run.done(NUMBER, BOX, plan="aa")
    assert not run.block_path(NUMBER).exists()
    with pytest.raises(OutputError, match="made anew"):
        run.facts(NUMBER)


@pytest.mark.parametrize("box", [Box(-500_000, 40_000, 600, 701), Box(-500_001, 40_000, 600, 700)])
def test_a_block_of_another_place_or_size_is_not_done(tmp_path, box):
    run = with_block(tmp_path)

    assert not run.done(NUMBER, box, plan="aa")


def test_a_block_nobody_wrote_is_not_done(tmp_path):
    assert not RunFolder.open(tmp_path, PLAN, ITEMS, ABOUT).done(NUMBER, BOX, plan="aa")


def test_a_full_disk_is_one_plain_line_and_leaves_nothing_half_written(tmp_path):
    run = RunFolder.open(tmp_path, PLAN, ITEMS, ABOUT)

    with full_disk(after=100_000), pytest.raises(OutputError, match="Free some space") as refused:
        run.write_block(NUMBER, bands(), geobox(BOX, 32632), FACTS)

    assert "\n" not in str(refused.value)
    assert files(tmp_path) == ["about.json", "items.json", "plan.json"]


def test_a_failing_write_keeps_the_block_that_was_there(tmp_path):
    run = with_block(tmp_path)

    with full_disk(after=100_000), pytest.raises(OutputError):
        run.write_block(NUMBER, bands(seed=1), geobox(BOX, 32632), FACTS)

    assert run.done(NUMBER, BOX, plan="aa")


def test_a_folder_that_cannot_be_made_is_one_plain_line(tmp_path):
    (tmp_path / "file").write_text("?")

    with pytest.raises(OutputError, match="--workdir"):
        RunFolder.open(tmp_path / "file" / "map.run", PLAN, ITEMS, ABOUT)


def test_remove_takes_the_run_and_nothing_else(tmp_path):
    run = with_block(tmp_path / "mine")
    other = with_block(tmp_path / "shared")
    (other.path / "notes.txt").write_text("?")
    other.joined_path.write_bytes(b"?")

    run.remove()
    other.remove()

    assert not run.path.exists()
    assert files(other.path) == ["notes.txt"]
