"""The files of a dataset, as records: what is written is what is read, in the form of 0.1.0."""

import json
from dataclasses import replace

import pytest

from lulcmap.dataset.about import ABOUT, About
from lulcmap.dataset.chips import CHIPS, Chip
from lulcmap.dataset.writer import CHIP_FILE, ChipRecord, dataset_writer
from lulcmap.errors import UsageError
from lulcmap.legend import LandCover

CLASSES = (LandCover(0, "vines", "7B2D43"), LandCover(1, "rest", "CCCCCC"))
SETTINGS = {"labels": "raster", "codes": {"7": 0}, "orbit": "any", "simulated": True, "test": 0.0}

ABOUT_0_1_0 = """{
 "format": 1,
 "lulcmap": "0.1.0",
 "classes": [
  {
   "name": "vines",
   "colour": "7B2D43"
  },
  {
   "name": "rest",
   "colour": "CCCCCC"
  }
 ],
 "settings": {
  "labels": "raster",
  "codes": {
   "7": 0
  },
  "orbit": "any",
  "simulated": true,
  "test": 0.0
 }
}
"""

CHIP_0_1_0 = """{
 "chip": "32632_10_5",
 "place": "",
 "lon": 8.2,
 "lat": 47.8,
 "date": "2024-07-01",
 "split": "",
 "annotator": "own",
 "source": "vines.tif",
 "s2": [
  "a"
 ],
 "s1": [],
 "s1_dates": [],
 "s1_orbit": null,
 "epsg": 32632,
 "height": 512,
 "width": 512,
 "counts": [
  1,
  262143
 ],
 "unlabelled": 0,
 "digest": "ab"
}
"""

CHIP = Chip(
    chip="32632_10_5",
    place="",
    lon=8.2,
    lat=47.8,
    date="2024-07-01",
    split="",
    annotator="own",
    source="vines.tif",
    s2=("a",),
    s1=(),
    s1_dates=(),
    s1_orbit=None,
    epsg=32632,
    height=512,
    width=512,
    counts=(1, 262143),
    unlabelled=0,
)


def text(record):
    return json.dumps(record.to_json(), indent=1) + "\n"


def test_the_legend_and_settings_are_written_and_read_as_0_1_0_wrote_them():
    about = About(CLASSES, SETTINGS, version="0.1.0")

    assert text(about) == ABOUT_0_1_0
    assert About.from_json(json.loads(ABOUT_0_1_0)) == about
    assert about.simulated


def test_a_chip_is_written_and_read_as_0_1_0_wrote_it():
    record = ChipRecord(CHIP, "ab")

    assert text(record) == CHIP_0_1_0
    assert ChipRecord.from_json(json.loads(CHIP_0_1_0)) == record
    assert Chip.from_json(CHIP.to_json()) == CHIP


@pytest.mark.parametrize(
    "values", [[], {"digest": "ab"}, {**CHIP.to_json(), "digest": "a", "b": 1}]
)
def test_a_file_that_is_not_a_chips_record_is_refused(values):
    with pytest.raises((KeyError, TypeError, ValueError)):
        ChipRecord.from_json(values)


def test_settings_that_only_decide_the_splits_may_differ():
    about = About(CLASSES, SETTINGS)

    assert about.differences(replace(about, settings={**SETTINGS, "test": 0.5})) == []
    assert about.differences(About(CLASSES[:1], {**SETTINGS, "orbit": "descending"})) == [
        'orbit was "any", is "descending"',
        'classes were ["vines 7B2D43", "rest CCCCCC"], are ["vines 7B2D43"]',
    ]


def test_a_dataset_begun_by_0_1_0_is_resumed(tmp_path):
    folder = tmp_path / "dataset"
    (folder / CHIPS / "32632_10_5").mkdir(parents=True)
    (folder / ABOUT).write_text(ABOUT_0_1_0)
    (folder / CHIPS / "32632_10_5" / CHIP_FILE).write_text(CHIP_0_1_0)

    class Sample:
        name = "32632_10_5"

    with dataset_writer(folder, CLASSES, SETTINGS) as writer:
        assert writer.finished_chip(Sample, "ab") == CHIP
        assert writer.finished_chip(Sample, "of another label") is None
    with (
        pytest.raises(UsageError, match=r'other settings: orbit was "any", is null\. Give the old'),
        dataset_writer(folder, CLASSES, {**SETTINGS, "orbit": None}),
    ):
        pass
