"""A training replaces its own files and no others."""

import pytest

from lulcmap.errors import OutputError
from lulcmap.training.folder import BEST_CHECKPOINT, check_folder
from lulcmap.training.log import LOG_FILE, Epoch, TrainingLog


@pytest.mark.parametrize("name", [BEST_CHECKPOINT, LOG_FILE])
def test_a_folder_with_other_files_of_its_names_is_refused(tmp_path, name):
    (tmp_path / name).write_text("mine")

    with pytest.raises(OutputError, match="made by lulcmap"):
        check_folder(tmp_path)


def test_a_folder_of_a_training_and_one_with_other_names_are_fine(tmp_path):
    log = TrainingLog(tmp_path, done=0)
    log.write(Epoch(1, 2, 0.5, -1e-3, 3.0, {"iou_=evil": 0.5}))
    log.close()
    (tmp_path / "notes.txt").write_text("mine")

    check_folder(tmp_path)

    head, row = (tmp_path / LOG_FILE).read_text().splitlines()
    assert (head.split(",")[-1], row.split(",")[:3]) == ("iou_=evil", ["1", "0.5", "-0.001"])


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")

    with pytest.raises(OutputError, match="no folder"):
        check_folder(tmp_path / "run")
