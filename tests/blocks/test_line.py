"""Blocks that pass one network: what is run, what is shared, and what is done at once."""

import threading
from contextlib import closing
from dataclasses import replace
from datetime import date
from itertools import count

import pytest
import shapely

from lulcmap.blocks import line, local, map_blocks
from lulcmap.catalog.period import make_period
from lulcmap.errors import ModelError, ProviderError, ReadError
from lulcmap.imagery.reader import Reader
from lulcmap.model import Blending, Session
from lulcmap.pipeline import map_area
from lulcmap.planning import MemoryBudget

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


def one_by_one(planned, run, todo):
    """Make each block as a process that makes no other one."""
    for block in todo:
        yield from map_blocks(planned, run, [block])


def blocks_of(aoi, out, settings, engine=map_blocks):
    """The bytes of all block files of a run, by name, and of what they keep beside."""
    map_area(aoi, out, period=PERIOD, settings=settings, engine=engine)
    folder = out.with_name(f"{out.name}.run")
    files = sorted(path for path in (folder / "blocks").rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def with_hole(country):
    """The country less two circles: some blocks need few windows, and some none."""
    whole = shapely.from_geojson(country.aoi.read_text())
    whole = shapely.union_all(shapely.get_parts(whole))
    west, south, east, north = whole.bounds
    near, far = shapely.Point(west, south), shapely.Point((west + east) / 2, (south + north) / 2)
    return whole - far.buffer((east - west) / 5) - near.buffer((east - west) / 2)


@pytest.fixture
def seen(monkeypatch):
    """Every window that a network was shown, as bytes."""
    shown, run = [], Session.run

    def counted(self, s2, s1, *others):
        shown.extend(one.tobytes() + two.tobytes() for one, two in zip(s2, s1, strict=True))
        return run(self, s2, s1, *others)

    monkeypatch.setattr(Session, "run", counted)
    return shown


@pytest.mark.parametrize(
    "options",
    [
        {"block_size": 48},
        {"block_size": 96, "blend": "centre", "probabilities": True, "save_composite": True},
    ],
)
def test_blocks_have_the_bytes_they_have_alone_and_no_window_is_run_twice(
    with_hole, settings, seen, tmp_path, options
):
    path = tmp_path / "area.geojson"
    path.write_text(shapely.to_geojson(with_hole))
    chosen = settings(keep_run=True, **options)

    together = blocks_of(str(path), tmp_path / "a.tif", chosen)
    n_together, different = len(seen), len(set(seen))
    alone = blocks_of(str(path), tmp_path / "b.tif", chosen, one_by_one)

    assert together == alone
    assert n_together == different == len(set(seen))
    assert n_together < len(seen) - n_together


@pytest.fixture(scope="module")
def alone(country, settings, tmp_path_factory):
    """The blocks of the country, each made by itself."""
    out = tmp_path_factory.mktemp("alone") / "map.tif"
    return blocks_of(str(country.aoi), out, settings(keep_run=True), one_by_one)


def test_a_run_that_is_stopped_and_resumed_has_the_blocks_of_one_that_was_not(
    country, settings, alone, tmp_path
):
    chosen = settings(keep_run=True)

    def stopped(planned, run, todo):
        with closing(map_blocks(planned, run, todo)) as results:
            for _ in range(5):
                yield next(results)
        raise ProviderError("stopped")

    with pytest.raises(ProviderError, match="stopped"):
        blocks_of(str(country.aoi), tmp_path / "map.tif", chosen, stopped)

    assert blocks_of(str(country.aoi), tmp_path / "map.tif", chosen) == alone


def budget(monkeypatch, **values):
    usual = {
        "blocks": 2,
        "composites": 1,
        "readers": 4,
        "calls": 1,
        "strips": 1,
        "kept": 1e9,
        "peak": 0.0,
    }
    made = MemoryBudget(**{**usual, **values})
    monkeypatch.setattr(local, "blocks_budget", lambda *_: made)


@pytest.mark.parametrize(
    "values",
    [{"blocks": 1}, {"blocks": 7, "composites": 3}, {"kept": 0.0}, {"kept": 4 * 9 * 256 * 3}],
)
def test_blocks_do_not_depend_on_how_many_are_made_at_once(
    country, settings, alone, tmp_path, monkeypatch, values
):
    budget(monkeypatch, **values)

    made = blocks_of(str(country.aoi), tmp_path / "map.tif", settings(keep_run=True))

    assert made == alone


def test_neighbours_of_a_block_that_lost_an_asset_prepare_all_their_windows(
    country, settings, tmp_path, monkeypatch
):
    """A scene cannot be read in the north: blocks there have lost it, and those beside them not."""
    chosen = settings(keep_run=True, max_lost=1.0)
    read = Reader._read

    def broken(self, scene, band, grid):
        top = grid.affine.f
        if scene.id == lost and band == "B04" and top > 5_299_000:  # of the grid's north
            raise ReadError(f"Scene {scene.id}: {band} could not be read: it is cut short.")
        return read(self, scene, band, grid)

    found = []

    def noted(self, *of):
        found.append(of[0].id)
        return read(self, *of)

    monkeypatch.setattr(Reader, "_read", noted)
    blocks_of(str(country.aoi), tmp_path / "c.tif", chosen)
    lost = next(name for name in found if "MSIL2A" in name)
    monkeypatch.setattr(Reader, "_read", broken)

    alone = blocks_of(str(country.aoi), tmp_path / "a.tif", chosen, one_by_one)
    together = blocks_of(str(country.aoi), tmp_path / "b.tif", chosen)

    assert together == alone
    n_lost = sum(b"cut short" in body for body in alone.values())
    assert 0 < n_lost < len(alone)


def test_the_network_runs_while_the_next_block_is_composited_and_the_last_is_written(
    country, settings, tmp_path, monkeypatch
):
    """Each waits for the other: one after the other they would wait for ever."""
    budget(monkeypatch, blocks=5, composites=2)
    running, written, composited = (threading.Event() for _ in range(3))
    main, run, finish, prepare = (
        threading.main_thread(),
        Session.run,
        line.finish_block,
        line.prepare_block,
    )
    calls = []

    def run_slowly(self, *shown):
        assert threading.current_thread() is main
        calls.append(1)
        if len(calls) == 12:  # of a later block than the first
            running.set()
            assert written.wait(60)
            assert composited.wait(60)
        return run(self, *shown)

    def finish_slowly(*of):
        assert running.wait(60)
        reason = finish(*of)
        written.set()
        return reason

    n_prepared = []

    def prepare_slowly(*of, **threads):
        n_prepared.append(1)
        if len(n_prepared) == 5:
            assert running.wait(60)
        prepared = prepare(*of, **threads)
        if len(n_prepared) >= 5:
            composited.set()
        return prepared

    monkeypatch.setattr(Session, "run", run_slowly)
    monkeypatch.setattr(line, "finish_block", finish_slowly)
    monkeypatch.setattr(line, "prepare_block", prepare_slowly)

    report = map_area(str(country.aoi), tmp_path / "m.tif", period=PERIOD, settings=settings())

    assert report.complete
    assert len(calls) > 12


def test_an_error_of_a_thread_ends_the_run_and_leaves_no_thread_behind(
    country, settings, tmp_path, monkeypatch
):
    def fails(*_, **__):
        raise ZeroDivisionError

    for name in ("finish_block", "prepare_block", "need_of"):
        with monkeypatch.context() as patch:
            patch.setattr(line, name, fails)
            with pytest.raises(ZeroDivisionError):
                map_area(str(country.aoi), tmp_path / "m.tif", period=PERIOD, settings=settings())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write")]


def test_an_error_leaves_the_blocks_before_it_made(country, settings, tmp_path, monkeypatch):
    """The third block cannot be composited; this is known while the first is classified."""
    budget(monkeypatch, blocks=3)
    failed, numbers, prepare, run = threading.Event(), count(), line.prepare_block, Session.run

    def third_fails(*of, **threads):
        if next(numbers) == 2:
            failed.set()
            raise ProviderError("the server is down")
        return prepare(*of, **threads)

    def waits(self, *shown):
        assert failed.wait(60)
        return run(self, *shown)

    monkeypatch.setattr(line, "prepare_block", third_fails)
    monkeypatch.setattr(Session, "run", waits)

    with pytest.raises(ProviderError, match="the server is down"):
        map_area(str(country.aoi), tmp_path / "m.tif", period=PERIOD, settings=settings())

    assert len(list((tmp_path / "m.tif.run" / "blocks").iterdir())) == 2


def two_in_flight(planned, run, todo):
    """Make blocks with a network that takes two batches at once."""
    session = replace(planned.session, in_flight=2)
    yield from map_blocks(replace(planned, session=session), run, todo)


def test_batches_that_come_back_out_of_order_make_the_same_blocks(
    country, settings, alone, tmp_path, monkeypatch
):
    """Of two batches the first waits for the second, unless it is the last of its block."""
    changed, numbers, run, end = threading.Condition(), count(), Session.run, line.Line._end
    ended, overtaken, alone_in_flight = set(), [], []

    def out_of_order(self, *shown):
        assert threading.current_thread() is not threading.main_thread()
        with changed:
            number = next(numbers)
            if number % 2 == 0:
                changed.wait_for(lambda: number + 1 in ended or alone_in_flight, 60)
                overtaken.extend({number + 1} & ended)
        logits = run(self, *shown)
        with changed:
            ended.add(number)
            changed.notify_all()
        return logits

    def let_go(*of):
        with changed:
            alone_in_flight.append(True)
            changed.notify_all()
        end(*of)
        alone_in_flight.clear()

    blended, add = {}, Blending.add

    def noted(self, window, logits):
        blended.setdefault(self, []).append((window.row, window.col))
        add(self, window, logits)

    monkeypatch.setattr(Session, "run", out_of_order)
    monkeypatch.setattr(line.Line, "_end", let_go)
    monkeypatch.setattr(Blending, "add", noted)

    made = blocks_of(str(country.aoi), tmp_path / "map.tif", settings(keep_run=True), two_in_flight)

    assert made == alone
    assert all(corners == sorted(corners) for corners in blended.values())  # the last bit depends
    assert overtaken


def test_a_network_that_fails_in_flight_ends_the_run_which_can_be_resumed(
    country, settings, alone, tmp_path, monkeypatch
):
    chosen, out, numbers, run = settings(keep_run=True), tmp_path / "map.tif", count(), Session.run

    def fails(self, *shown):
        if next(numbers) == 30:
            raise ModelError("the model failed")
        return run(self, *shown)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", fails)
        with pytest.raises(ModelError, match="the model failed"):
            blocks_of(str(country.aoi), out, chosen, two_in_flight)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write")]

    assert blocks_of(str(country.aoi), out, chosen, two_in_flight) == alone
