"""Whatever a run was told, the tags of its map come back as they were written."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lulcmap.errors import ModelError
from lulcmap.legend import CLASSES
from lulcmap.model.contract import S2_INPUT, Contract
from lulcmap.output.cog import write_cog
from lulcmap.output.provenance import map_tags
from lulcmap.output.read import read_map
from lulcmap.output.report import MapReport, WrittenFile
from tests.output.test_existing import source
from tests.support.records import make_about, make_facts, make_plan

ANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(max_size=120) | st.text(
    "\x00\x1b\n\r\t \ud800\udfff\ufffe\x85<&>\"'é]]>", max_size=9
)
NASTY = ("\x00", "a\x1b[2Jb", "\r\n", " x ", "\ud800", "]]>", "&#0;", "", "\ufffe", "x" * 70_000)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory) -> Path:
    return source(tmp_path_factory.mktemp("mosaic") / "mosaic.tif")


def write(out: Path, mosaic: Path, *, model: str, legend=CLASSES, note: str = "") -> None:
    """Write a map, which checks that every tag is on the disk as it was given."""
    plan = make_plan(model=model)
    about = make_about(plan, notes=(note,), catalog=note, legend=legend)
    written = WrittenFile("map.tif", "EPSG:32632", 1, 1)
    facts = [make_facts(plan.digest, lost=((note, "B04", note),))]
    report = MapReport.collect(out, facts, plan, about, maps=[written], min_coverage=0)
    write_cog(mosaic, out, tags=map_tags(plan, about, report), legend=legend)


@ANY
@given(names=st.lists(TEXT, min_size=1, max_size=4), name=TEXT)
def test_a_model_is_refused_when_it_opens_or_its_names_come_back(tmp_path, mosaic, names, name):
    contract = Contract(
        name=name,
        inputs={"s2": S2_INPUT},
        stride=4,
        classes=tuple(names),
        colours=("7B2D43",) * len(names),
    )
    contract = Contract.from_json(contract.to_json())

    try:
        contract.check()
    except ModelError as refused:
        assert str(refused).isprintable()  # noqa: PT017
        assert len(str(refused)) < 500  # noqa: PT017
        return

    write(tmp_path / "map.tif", mosaic, model=contract.name, legend=contract.legend)
    assert read_map(tmp_path / "map.tif").legend == contract.legend


@ANY
@given(note=TEXT)
def test_what_comes_from_a_catalogue_never_stops_a_map_at_its_last_step(tmp_path, mosaic, note):
    write(tmp_path / "map.tif", mosaic, model="stub", note=note)


@pytest.mark.parametrize("note", NASTY, ids=range(len(NASTY)))
def test_nor_do_these(tmp_path, mosaic, note):
    write(tmp_path / "map.tif", mosaic, model="stub", note=note)
