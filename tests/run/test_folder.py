import hashlib
import json
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning

from lulcmap.errors import OutputError, UsageError
from lulcmap.geo import Block, Box, geobox
from lulcmap.run import (
    BLOCK_BANDS,
    DAMAGED,
    About,
    BlockFacts,
    Plan,
    RunFolder,
    check_block,
    hold_run,
    start_heartbeat,
)
from tests.support.disk import full_disk
from tests.support.records import make_about, make_facts, make_plan

PLAN = make_plan()
OTHER = make_plan(s1="off", rules={"min_clear": 3})
ABOUT = make_about(PLAN)
FACTS = make_facts(PLAN.digest)
ITEMS = (b'{"type": "FeatureCollection", ', b'"features": [{"id": "one"}]}')
(BLOCK,) = PLAN.placed_blocks
NUMBER, BOX = BLOCK


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
    assert run.items_path.read_bytes() == b"".join(ITEMS)
    assert files(run.path) == ["about.json", "items.json", "plan.json"]


def test_the_same_plan_resumes_with_its_blocks_and_first_items(tmp_path):
    with_block(tmp_path)

    run = RunFolder.open(tmp_path, make_plan(), [b"{}"], ABOUT)

    assert run.discard_invalid(BLOCK, plan=PLAN.digest)
    assert run.items_path.read_bytes() == b"".join(ITEMS)


def test_another_plan_is_refused_with_the_differences(tmp_path):
    with_block(tmp_path)

    with pytest.raises(UsageError) as refused:
        RunFolder.open(tmp_path, OTHER, ITEMS, ABOUT)

    said = str(refused.value)
    assert '(rules.min_clear: was 5, now 3; s1: was "optional", now "off"). Give' in said
    assert len(said.splitlines()) == 1
    assert "period" not in str(refused.value)
    assert RunFolder(tmp_path).discard_invalid(BLOCK, plan=PLAN.digest)


def test_many_differences_are_counted_and_long_ones_cut(tmp_path):
    RunFolder.open(
        tmp_path, make_plan(rules={f"k{i}": ["x" * 30] * (i + 3) for i in range(9)}), ITEMS, ABOUT
    )

    with pytest.raises(UsageError) as refused:
        RunFolder.open(
            tmp_path, make_plan(rules={f"k{i}": "y" * 99 for i in range(9)}), ITEMS, ABOUT
        )

    assert 'rules.k0: was 3 entries, now "yyy' in str(refused.value)
    assert "and 4 more differences" in str(refused.value)
    found = str(refused.value).partition("plan (")[2].partition(")")[0].split("; ")
    assert max(map(len, found)) < 120


@pytest.mark.parametrize("text", ["", '{"period": ["2024', "[]"])
def test_a_half_written_plan_is_no_plan_and_its_blocks_are_not_trusted(tmp_path, text):
    run = with_block(tmp_path)
    run.plan_path.write_text(text)

    assert run.plan() is None
    again = RunFolder.open(tmp_path, OTHER, ITEMS, ABOUT)

    assert again.plan() == OTHER
    assert again.is_done(BLOCK, plan=PLAN.digest)  # the plan it was made to
    assert not again.is_done(BLOCK, plan=OTHER.digest)
    assert again.block_path(NUMBER).exists()
    assert not again.discard_invalid(BLOCK, plan=OTHER.digest)
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

    assert run.is_done(BLOCK, plan=PLAN.digest)


def test_a_block_that_cannot_be_read_now_is_not_removed(tmp_path):
    run = with_block(tmp_path)
    path = run.block_path(NUMBER)
    path.rename(tmp_path / "kept")
    path.mkdir()

    with pytest.raises(OutputError, match="cannot be used"):
        run.discard_invalid(BLOCK, plan=PLAN.digest)

    assert path.exists()


def test_what_a_killed_run_left_half_written_is_removed_and_no_more(tmp_path):
    run = with_block(tmp_path)
    half = [
        run.path / ".plan.0a1b2c3d.part.json",
        run.block_path(NUMBER).with_name(".z32632_r0_c0.0a1b2c3d.part.tif"),
    ]
    others = [tmp_path / ".film.0a1b2c3d.part.mp4", tmp_path / "notes.txt"]
    for path in half + others:
        path.write_text("?")

    RunFolder.open(tmp_path, PLAN, ITEMS, ABOUT)

    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in others)
    assert run.discard_invalid(BLOCK, plan=PLAN.digest)


def test_a_block_comes_back_as_it_was_written(tmp_path):
    run = with_block(tmp_path)

    with rasterio.open(run.block_path(NUMBER)) as block:
        read, grid = block.read(), geobox(BOX, 32632)
        assert (block.crs.to_epsg(), block.transform) == (32632, grid.affine)
        assert (block.nodata, block.descriptions) == (255, BLOCK_BANDS)
        assert (block.profile["compress"], block.block_shapes[0]) == ("deflate", (512, 512))
    np.testing.assert_array_equal(read, bands())
    assert run.facts(NUMBER) == FACTS
    assert run.discard_invalid(BLOCK, plan=PLAN.digest)
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


@pytest.fixture(scope="module")
def whole_block(tmp_path_factory) -> Path:
    run = with_block(tmp_path_factory.mktemp("run"))
    return run.block_path(NUMBER).rename(run.path / "whole.tif")


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

    assert not run.discard_invalid(BLOCK, plan=PLAN.digest)
    assert not run.block_path(NUMBER).exists()
    with pytest.raises(OutputError, match="make the block again"):
        run.facts(NUMBER)


def test_a_damaged_block_is_said_and_noted_until_the_run_goes(tmp_path, caplog):
    run = with_block(tmp_path)
    blot(run.block_path(NUMBER))

    with pytest.raises(OutputError, match="make the block again"):
        check_block(run.block_path(NUMBER))
    with caplog.at_level(logging.WARNING):
        assert not run.discard_invalid(BLOCK, plan=PLAN.digest)
    run.write_block(NUMBER, bands(), geobox(BOX, 32632), FACTS)

    assert "Block z32632_r12_c-3" in caplog.text
    assert "is damaged and is made again" in caplog.text
    check_block(run.block_path(NUMBER))
    assert run.damaged() == [NUMBER]
    assert run.failures() == {}
    run.remove()
    assert not tmp_path.exists()


def test_a_block_of_another_plan_is_no_damage(tmp_path, caplog):
    run = with_block(tmp_path)

    assert not run.discard_invalid(BLOCK, plan=OTHER.digest)

    assert (run.damaged(), caplog.text) == ([], "")


@pytest.mark.parametrize("name", ["blocks", "failed", "damaged", "run.lock", "run.beat"])
def test_links_in_a_run_folder_are_not_written_through(tmp_path, name):
    precious = tmp_path / "precious"
    folder = tmp_path / "map.run"
    folder.mkdir()
    if name.startswith("run."):
        precious.write_text("mine")
    else:
        precious.mkdir()
        (precious / "z32632_r12_c-3.tif").write_text("mine")
    (folder / name).symlink_to(precious)

    try:
        with hold_run(folder) as run:
            with start_heartbeat(run):
                pass
            RunFolder.open(folder, PLAN, ITEMS, ABOUT)
            run.remove()
    except OutputError as refused:
        assert "is a link" in str(refused)  # noqa: PT017

    left = precious if name.startswith("run.") else precious / "z32632_r12_c-3.tif"
    assert left.read_text() == "mine"


def test_links_under_the_names_of_a_runs_files_are_replaced(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run = RunFolder(tmp_path / "map.run")
    run.path.mkdir()
    for path in (run.plan_path, run.items_path, run.about_path):
        path.symlink_to(precious)

    made = with_block(run.path)

    assert precious.read_text() == "mine"
    assert made.frozen() == (PLAN, ABOUT)
    assert not made.plan_path.is_symlink()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give a folder away"
)
@pytest.mark.parametrize("is_link", [False, True])
def test_a_run_folder_of_another_user_is_refused(tmp_path, is_link):
    shared, folder = tmp_path / "shared", tmp_path / "shared" / "map.run"
    shared.mkdir()
    shared.chmod(0o1777)
    theirs = tmp_path / "theirs" if is_link else folder
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    if is_link:
        folder.symlink_to(theirs)
        os.chown(folder, 12345, 12345, follow_symlinks=False)

    with pytest.raises(OutputError, match="belongs to another user"), hold_run(folder):
        pass

    assert list(theirs.iterdir()) == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give a folder away"
)
def test_the_superuser_may_work_in_a_users_folder_of_his_own_place(tmp_path):
    os.chown(tmp_path, 12345, 12345)
    folder = tmp_path / "map.run"
    folder.mkdir()
    os.chown(folder, 12345, 12345)

    with hold_run(folder) as run:
        assert run.path == folder


def test_where_every_file_has_one_owner_the_folder_is_ours(tmp_path, monkeypatch):
    """As on a network mount that maps all users to one."""
    folder = tmp_path / "map.run"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711, raising=False)

    with hold_run(folder) as run:
        assert files(run.path) == ["run.lock"]


@pytest.mark.filterwarnings(  # rasterio cannot decode GDAL's message about a damaged file
    "ignore:Exception ignored in. 'rasterio._env.log_error':pytest.PytestUnraisableExceptionWarning"
)
@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 2**32))
@example(place=11239)  # the name of a band is no UTF-8
def test_no_flipped_bit_is_accepted(whole_block, place):
    whole = bytearray(whole_block.read_bytes())
    whole[place // 8 % len(whole)] ^= 1 << place % 8
    run = RunFolder(whole_block.parent)
    run.block_path(NUMBER).write_bytes(whole)
    warnings.simplefilter("ignore", NotGeoreferencedWarning)

    assert run.fault(BLOCK, plan=PLAN.digest) == DAMAGED
    with pytest.raises(OutputError, match="make the block again"):
        check_block(run.block_path(NUMBER))


@pytest.mark.parametrize("box", [Box(-500_000, 40_000, 600, 701), Box(-500_001, 40_000, 600, 700)])
def test_a_block_of_another_place_or_size_is_not_done(tmp_path, box):
    run = with_block(tmp_path)

    assert not run.discard_invalid(Block(NUMBER, box), plan=PLAN.digest)


def test_a_block_nobody_wrote_is_not_done(tmp_path):
    assert not RunFolder.open(tmp_path, PLAN, ITEMS, ABOUT).discard_invalid(BLOCK, plan=PLAN.digest)


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

    assert run.discard_invalid(BLOCK, plan=PLAN.digest)


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


def test_records_come_back_from_the_disk_as_they_were(tmp_path):
    run = with_block(tmp_path)

    assert run.frozen() == (PLAN, ABOUT)
    assert Plan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN
    assert About.from_json(json.loads(json.dumps(ABOUT.to_json()))) == ABOUT
    assert BlockFacts.from_json(json.loads(json.dumps(FACTS.to_json()))) == FACTS


def test_a_run_of_another_version_is_refused_by_name(tmp_path):
    run = with_block(tmp_path)
    values = json.loads(run.plan_path.read_text())
    run.plan_path.write_text(json.dumps({**values, "version": "0.0.9"}))

    with pytest.raises(UsageError, match=r"begun by lulcmap 0\.0\.9; this is lulcmap"):
        run.plan()


@pytest.mark.parametrize("lacks", ["boxes", "s2_dates", "sources"])
def test_a_file_that_is_no_plan_is_refused_by_name(tmp_path, lacks):
    run = with_block(tmp_path)
    values = json.loads(run.plan_path.read_text())
    del values[lacks]
    run.plan_path.write_text(json.dumps(values))

    with pytest.raises(UsageError, match="is not a plan of this lulcmap"):
        run.plan()


def test_a_run_begun_by_version_0_1_0_is_readable(tmp_path):
    """It named a block's last band `source`, wrote no checksums, and did not say whether its
    catalogue is remote."""
    run = with_block(tmp_path)
    about = json.loads(run.about_path.read_text())
    del about["remote"]
    run.about_path.write_text(json.dumps(about))
    with rasterio.open(run.block_path(NUMBER), "r+") as block:
        block.descriptions = (*BLOCK_BANDS[:5], "source")
        block.update_tags(lulcmap=json.dumps(FACTS.to_json()), lulcmap_sha256="")

    assert run.frozen() == (PLAN, ABOUT)
    assert run.is_done(BLOCK, plan=PLAN.digest)
    assert run.facts(NUMBER) == FACTS


@pytest.mark.parametrize(
    ("name", "value"),
    [("area", {"type": "Point", "coordinates": [0, 0]}), ("legend", []), ("skipped", 3)],
)
def test_a_changed_about_file_is_refused(tmp_path, name, value):
    run = with_block(tmp_path)
    about = json.loads(run.about_path.read_text())
    run.about_path.write_text(json.dumps({**about, name: value}))

    with pytest.raises(OutputError, match="the file was changed"):
        run.about()
