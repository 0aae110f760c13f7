"""Answers are on the disk when they are acknowledged, whatever happens then."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing, contextmanager

import numpy as np
import pyogrio
import pytest
import shapely

from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import check_sample_path, draw_sample, evaluate_map, write_sample
from lulcmap.evaluation.regions import Regions
from lulcmap.evaluation.vectors import load_features
from lulcmap.viewer.answers import AnswerStore
from tests.evaluation.test_sampling import write_map


@pytest.fixture
def class_map(tmp_path):
    values = np.random.default_rng(2).choice(np.uint8([1, 4, 6]), (90, 120), p=[0.6, 0.3, 0.1])
    return write_map(tmp_path / "map.tif", values)


@pytest.fixture
def path(tmp_path, class_map):
    path = tmp_path / "sample.gpkg"
    write_sample(path, draw_sample(class_map, size=60, min_per_class=15))
    return path


def make_functions(database):
    """What the spatial index calls when a row of a layer is changed."""
    for name in ("ST_IsEmpty", "ST_MinX", "ST_MinY", "ST_MaxX", "ST_MaxY"):
        database.create_function(name, 1, lambda _: 0)


def test_an_answer_is_in_the_layer_and_in_the_table(path):
    before = pyogrio.read_dataframe(path, layer="sample")
    with AnswerStore(path) as store:
        store.answer(3, "anna", "trees", is_sure=True, comment="at a road", map_shown=True)

    layer = pyogrio.read_dataframe(path, layer="sample")
    assert list(layer.columns[: len(before.columns) - 1]) == list(before.columns[:-1])
    row = layer.set_index("id").loc[3]
    assert (row["class"], row["interpreter"], row["sure"]) == ("trees", "anna", True)
    assert row["comment"] == "at a road"
    assert row["answered_at"].year >= 2024
    assert layer["class"].notna().sum() == 1
    table = pyogrio.read_dataframe(path, layer="answers")
    assert table["map_shown"].tolist() == [True]
    check_sample_path(path, overwrite=True)  # it is still a sample


def test_answers_are_there_when_it_is_opened_again(path):
    with AnswerStore(path) as store:
        store.answer(1, "anna", "trees", is_sure=True)
        store.answer(2, "anna", None, is_sure=True)
    with AnswerStore(path) as store:
        held = {one.point: one for one in store.answers()}

    assert held[1].name == "trees"
    assert (held[2].name, held[2].is_sure) == (None, False)


def test_who_saw_the_class_of_the_map_has_seen_it_in_every_later_answer(path):
    with AnswerStore(path) as store:
        store.answer(1, "anna", "trees", is_sure=True, map_shown=True)
        store.undo("anna")
    with AnswerStore(path) as store:
        answers = [
            store.answer(point, who, "trees", is_sure=True)
            for point, who in ((1, "anna"), (2, "anna"), (1, "ben"))
        ]

    assert [one.map_shown for one in answers] == [True, False, False]


def test_undo_brings_the_answer_before_back_also_after_a_restart(path):
    with AnswerStore(path) as store:
        store.answer(1, "anna", "trees", is_sure=True)
        store.answer(1, "anna", "grass", is_sure=True)
        store.answer(2, "ben", "water", is_sure=True)
    with AnswerStore(path) as store:
        assert store.undo("anna") == 1
        assert [one.name for one in store.answers()] == ["trees", "water"]
        assert load_features(path).labels(None)[0] == "trees"
        assert store.undo("anna") == 1
        assert store.undo("anna") is None
        assert [one.name for one in store.answers()] == ["water"]
    row = pyogrio.read_dataframe(path, layer="sample").set_index("id").loc[1]
    assert row[["class", "interpreter", "sure", "comment", "answered_at"]].isna().all()


def test_several_interpreters_decide_together(path):
    with AnswerStore(path) as store:
        for who, name in (("anna", "trees"), ("ben", "grass"), ("carl", "grass")):
            store.answer(5, who, name, is_sure=True)
        store.answer(6, "anna", "trees", is_sure=True)
        store.answer(6, "ben", "grass", is_sure=True)
        assert store.summary()["ties"] == [6]

    layer = pyogrio.read_dataframe(path, layer="sample").set_index("id")
    assert layer.loc[5, "class"] == "grass"
    assert layer.loc[5, "interpreter"] == "anna; ben; carl"
    assert layer["class"].isna()[6]


def test_a_look_at_the_map_without_an_answer_outlives_a_restart(path):
    with AnswerStore(path) as store:
        store.look(3, "anna")
        store.look(3, "anna")
        with pytest.raises(UsageError, match="no point 99999"):
            store.look(99_999, "anna")
    with AnswerStore(path) as store:
        shown = [store.answer(3, who, "trees", is_sure=True).map_shown for who in ("anna", "ben")]
        other = store.answer(2, "anna", "trees", is_sure=True).map_shown

    assert shown == [True, False]
    assert not other
    assert "looks" not in pyogrio.list_layers(path)[:, 0]


def test_points_and_polygons_are_drawn_and_erased(path):
    square = shapely.box(9.1, 57.1, 9.2, 57.2)
    with AnswerStore(path) as store:
        first = store.draw(shapely.Point(9, 57), "anna", "oil palm", comment="young")
        store.draw(square, "anna", "trees")
        assert [one[1:] for one in store.drawn()] == [
            (shapely.Point(9, 57), "oil palm", "anna"),
            (square, "trees", "anna"),
        ]
        assert store.erase(first)
        assert not store.erase(first)

    layer = pyogrio.read_dataframe(path, layer="drawn")
    assert layer.geometry.tolist() == [square]
    assert layer.crs == "EPSG:4326"
    assert layer["design"].tolist() == ["drawn"]
    assert set(layer["class"]) == {"trees"}


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
        shapely.Point(0, 91),
        shapely.Point(),
        shapely.LineString([(0, 0), (1, 1)]),
        shapely.Point(np.inf, 0),
    ],
)
def test_what_is_no_place_is_not_kept(path, shape):
    with AnswerStore(path) as store:
        with pytest.raises(UsageError):
            store.draw(shape, "anna", "trees")
        assert store.drawn() == []


@pytest.mark.parametrize(
    ("point", "who", "name"),
    [(61, "anna", "trees"), (1, "", "trees"), (1, "an\nna", "trees"), (1, "anna", " trees")],
)
def test_answers_that_make_no_sense_are_refused(path, point, who, name):
    with AnswerStore(path) as store:
        with pytest.raises(UsageError):
            store.answer(point, who, name, is_sure=True)
        assert store.answers() == []


def test_a_copy_of_somebody_else_is_merged_once(path, tmp_path):
    copy = tmp_path / "ben.gpkg"
    with AnswerStore(path) as store:
        store.answer(1, "anna", "trees", is_sure=True)
    shutil.copy(path, copy)
    with AnswerStore(copy) as other:
        other.answer(1, "ben", "grass", is_sure=True)
        other.answer(2, "ben", "grass", is_sure=True)
        other.draw(shapely.Point(9, 57), "ben", "water")
        other.undo("anna")
    held = copy.read_bytes()
    with AnswerStore(path) as store:
        assert store.merge(copy) == 3
        assert store.merge(copy) == 0
        said = {(one.point, one.interpreter): one.name for one in store.answers()}
        assert len(store.drawn()) == 1

    assert said == {(1, "ben"): "grass", (2, "ben"): "grass"}
    assert load_features(path).labels(None)[1] == "grass"
    assert copy.read_bytes() == held


def test_what_was_erased_does_not_come_back_from_an_older_copy(path, tmp_path):
    copy = tmp_path / "ben.gpkg"
    with AnswerStore(path) as store:
        place = shapely.Point(9, 57)
        first = store.draw(place, "anna", "water")
        store.draw(shapely.Point(9, 58), "anna", "trees")
        shutil.copy(path, copy)
        store.erase(first)
        assert store.merge(copy) == 0
        assert [one[2] for one in store.drawn()] == ["trees"]
        store.draw(place, "anna", "crops")
    with AnswerStore(copy) as other:
        assert other.merge(path) == 1
        assert [one[2] for one in other.drawn()] == ["trees", "crops"]

    assert pyogrio.read_dataframe(path, layer="drawn")["class"].tolist() == ["trees", "crops"]
    assert "erased" not in pyogrio.list_layers(path)[:, 0]
    check_sample_path(path, overwrite=True)


def test_a_copy_of_an_earlier_version_remembers_nothing_erased(path, tmp_path):
    copy = tmp_path / "ben.gpkg"
    shutil.copy(path, copy)
    with AnswerStore(copy) as other:
        other.draw(shapely.Point(9, 57), "ben", "water")
    with closing(sqlite3.connect(copy)) as database:
        database.execute("DROP TABLE erased")
    with AnswerStore(path) as store:
        assert store.merge(copy) == 1


def test_what_another_program_emptied_is_taken_once(path, tmp_path):
    copy = tmp_path / "ben.gpkg"
    shutil.copy(path, copy)
    with AnswerStore(copy) as other:
        other.answer(1, "ben", "water", is_sure=True)
        other.draw(shapely.Point(9, 57), "ben", "water")
    with closing(sqlite3.connect(copy)) as database:
        for table in ("answers", "drawn"):
            database.execute(f"UPDATE {table} SET interpreter = NULL, answered_at = NULL")
        database.commit()
    with AnswerStore(path) as store:
        assert store.merge(copy) == 2
        assert store.merge(copy) == 0


def test_a_copy_of_another_sample_is_not_merged(path, class_map, tmp_path):
    other = tmp_path / "other.gpkg"
    write_sample(other, draw_sample(class_map, size=60, min_per_class=15, seed=1))
    with AnswerStore(path) as store:
        with pytest.raises(UsageError, match="has no answers"):
            store.merge(other)
        AnswerStore(other).close()
        with pytest.raises(UsageError, match="has other points"):
            store.merge(other)


def test_what_is_no_sample_is_refused_and_stays_as_it_is(tmp_path, class_map):
    text = tmp_path / "text.gpkg"
    text.write_text("no database")
    other = tmp_path / "other.gpkg"
    pyogrio.raw.write(
        other,
        geometry=shapely.to_wkb(shapely.points([9.0], [57.0])),
        field_data=[np.array(["a"], object)],
        fields=["name"],
        layer="places",
        driver="GPKG",
        geometry_type="Point",
        crs="EPSG:4326",
    )
    for file in (text, other):
        held = file.read_bytes()
        with pytest.raises(UsageError, match="Give a file that lulcmap sample wrote"):
            AnswerStore(file)
        assert file.read_bytes() == held
    with pytest.raises(UsageError, match="No file"):
        AnswerStore(tmp_path / "missing.gpkg")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("class", ["trees", *[None] * 59]),
        ("comment", ["at a road", *[None] * 59]),
        ("Interpreter", [None] * 60),
        ("class", [7.0] * 60),
    ],
)
def test_columns_of_the_user_are_not_written_over(path, name, values):
    layer = pyogrio.read_dataframe(path, layer="sample")
    layer[name] = values
    pyogrio.write_dataframe(layer, path, layer="sample")
    held = path.read_bytes()

    with pytest.raises(UsageError, match=f"has a column {name} of its own"):
        AnswerStore(path)

    assert path.read_bytes() == held


def test_empty_columns_of_the_user_take_the_answers(path):
    layer = pyogrio.read_dataframe(path, layer="sample")
    layer["class"], layer["comment"] = None, ""
    pyogrio.write_dataframe(layer, path, layer="sample")

    with AnswerStore(path) as store:
        store.answer(1, "anna", "trees", is_sure=True)

    layer = pyogrio.read_dataframe(path, layer="sample").set_index("id")
    assert layer.loc[1, "class"] == "trees"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE sample SET lon = NULL WHERE id = 7", "The point 7 of .* lacks lon or lat"),
        ("UPDATE sample SET lat = 'north' WHERE id = 7", "The point 7 of .* lacks lon or lat"),
        ("UPDATE sample SET id = 'seven' WHERE id = 7", "has the id 'seven'"),
        ("UPDATE sample SET id = 7.5 WHERE id = 7", "has the id '7.5'"),
        ("UPDATE sample SET id = NULL WHERE id = 7", "has a row without an id"),
        ("UPDATE sample SET id = NULL WHERE id < 7", "has a row without an id"),
        ("UPDATE sample SET id = 6 WHERE id = 7", "has the id 6 more than once"),
        ("CREATE TABLE answers (point, class)", "has a table answers without the column fid"),
    ],
)
def test_rows_that_name_no_point_are_told_in_a_line(path, change, told):
    with closing(sqlite3.connect(path)) as database:
        make_functions(database)
        database.execute(change)
        database.commit()

    with pytest.raises(UsageError, match=told) as error:
        AnswerStore(path)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [float, str])
def test_ids_that_another_program_keeps_otherwise_name_their_points(path, kind):
    layer = pyogrio.read_dataframe(path, layer="sample")
    layer["id"] = layer["id"].astype(int).map(kind)
    pyogrio.write_dataframe(layer, path, layer="sample")

    with AnswerStore(path) as store:
        store.answer(7, "anna", "trees", is_sure=True)

    layer = pyogrio.read_dataframe(path, layer="sample").set_index("id")
    assert layer.loc[kind(7), "class"] == "trees"


@pytest.mark.parametrize("table", ["answers", "drawn"])
def test_a_copy_that_lacks_a_table_or_column_is_told_in_a_line(path, tmp_path, table):
    copy = tmp_path / "ben.gpkg"
    shutil.copy(path, copy)
    AnswerStore(copy).close()
    with closing(sqlite3.connect(copy)) as database:
        database.execute(f"ALTER TABLE {table} DROP COLUMN comment")
    with AnswerStore(path) as store:
        with pytest.raises(UsageError, match=f"has a table {table} without the column comment"):
            store.merge(copy)
        with closing(sqlite3.connect(copy)) as database:
            database.execute(f"DROP TABLE {table}")
        with pytest.raises(UsageError, match=r"no answers|no such table"):
            store.merge(copy)


def test_a_file_that_cannot_be_read_is_told_in_a_line(path, monkeypatch):
    monkeypatch.setattr("lulcmap.viewer.geopackage._BUSY_S", 0.1)
    with (
        AnswerStore(path) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        for read in (store.answers, store.drawn, lambda: AnswerStore(path)):
            with pytest.raises(UsageError, match=r"cannot be read .*locked"):
                read()


def test_rows_that_another_program_emptied_are_read(path):
    with AnswerStore(path) as store:
        store.answer(1, "anna", "trees", is_sure=True)
        store.draw(shapely.Point(9, 57), "anna", "trees")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE answers SET interpreter = NULL, answered_at = NULL")
        database.execute("UPDATE drawn SET class = NULL")
        database.execute("INSERT INTO drawn (class) VALUES ('trees')")
        database.commit()

    with AnswerStore(path) as store:
        assert store.summary()["answered"] == 1
        assert [one[2] for one in store.drawn()] == [""]
        store.answer(1, "ben", "trees", is_sure=True)


def test_a_file_that_another_program_writes_is_told_and_not_harmed(path, monkeypatch):
    monkeypatch.setattr("lulcmap.viewer.geopackage._BUSY_S", 0.1)
    with (
        AnswerStore(path) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutputError, match="Close other programs"):
            store.answer(1, "anna", "trees", is_sure=True)
        other.execute("ROLLBACK")
        store.answer(1, "anna", "trees", is_sure=True)


def test_two_processes_answer_the_same_file(path):
    with AnswerStore(path) as one, AnswerStore(path) as other:
        one.answer(1, "anna", "trees", is_sure=True)
        other.answer(1, "ben", "trees", is_sure=True)

        assert len(one.answers()) == len(other.answers()) == 2


WRITER = """\
import os, signal, sys
from pathlib import Path
from lulcmap.viewer.answers import AnswerStore

def kill_at(store, beginning):
    # With a cache of one page SQLite writes changed pages into the file before it commits.
    store._database.execute("PRAGMA cache_size=1")
    def kill(statement):
        if statement.lstrip().startswith(beginning):
            os.kill(os.getpid(), signal.SIGKILL)
    store._database.set_trace_callback(kill)

with AnswerStore(Path(sys.argv[1])) as store:
"""


@contextmanager
def started(path, body):
    code = WRITER + textwrap.indent(textwrap.dedent(body), "    ")
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process


def check_whole(path, acknowledged):
    """Everything acknowledged is there, rows agree with the log, and GDAL reads the file."""
    with AnswerStore(path) as store:
        held = {one.point: one for one in store.answers()}
        assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for point, name in acknowledged:
        assert held[point].name == name
    layer = pyogrio.read_dataframe(path, layer="sample").set_index("id")
    for point, row in layer.iterrows():
        assert (row["class"] if isinstance(row["class"], str) else None) == (
            held[point].name if point in held else None
        )
    return held


def test_nothing_is_lost_by_a_kill_between_writes(path):
    body = """
        for number in range(10**6):
            store.answer(number % 60 + 1, "anna", f"class {number}", is_sure=True)
            print(number % 60 + 1, f"class {number}", sep="|", flush=True)
    """
    acknowledged = {}
    for attempt in range(4):
        with started(path, body) as process:
            count = random.Random(attempt).randint(1, 30)
            lines = [process.stdout.readline() for _ in range(count)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        last = dict(line.strip().split("|") for line in lines if line.endswith("\n"))
        acknowledged |= {int(point): name for point, name in last.items()}
        held = check_whole(path, ())
        # the last one may have been written and not yet acknowledged
        wrong = [point for point, name in acknowledged.items() if held[point].name != name]
        assert len(wrong) <= 1
        acknowledged |= {point: held[point].name for point in wrong}


@pytest.mark.parametrize("when", ["INSERT INTO answers", "UPDATE sample", "COMMIT"])
def test_a_kill_during_a_write_leaves_the_answers_before_it(path, when):
    with AnswerStore(path) as store:
        store.answer(1, "anna", "trees", is_sure=True)
    body = f"""
        kill_at(store, {when!r})
        store.answer(2, "anna", "grass", is_sure=True, comment="x" * 2000)
    """
    with started(path, body) as process:
        assert process.wait() == -signal.SIGKILL

    held = check_whole(path, [(1, "trees")])
    assert 2 not in held


def test_gdal_reads_the_file_after_a_kill_before_it_is_opened_again(path, class_map):
    with AnswerStore(path) as store:
        for point in range(1, 61):
            store.answer(point, "anna", "trees", is_sure=True)
    body = """
        kill_at(store, "COMMIT")
        store.answer(2, "anna", "crops", is_sure=True, comment="x" * 2000)
    """
    with started(path, body) as process:
        assert process.wait() == -signal.SIGKILL
    assert path.with_name("sample.gpkg-journal").exists()

    result = evaluate_map(class_map, path, crosswalk=None, label_column=None, regions=Regions())

    assert result.sample.truth.tolist().count(result.classes.index("trees")) == 60
