import os

import pytest

from lulcmap.errors import OutputError
from lulcmap.system.disk import RESERVE_BYTES, check_disk, free_disk
from tests.support.disk import disk_with


def test_what_is_free_is_what_the_system_gives_this_user(tmp_path):
    with disk_with(123):
        assert free_disk(tmp_path) == 123
    system = os.statvfs(tmp_path)
    assert 0 < free_disk(tmp_path) <= system.f_frsize * system.f_blocks


def test_just_enough_room_is_enough(tmp_path):
    with disk_with(10**6 + RESERVE_BYTES):
        check_disk(tmp_path, 10**6, "the map")


@pytest.mark.parametrize(
    ("left", "needed", "said"),
    [
        (RESERVE_BYTES - 1, 0, "has 17 MB free, and the next block needs 17 MB"),
        (10**8, 10**8, "has 100 MB free, and the next block needs 117 MB"),
        (3 * 10**9, 4 * 10**9, "has 3.0 GB free, and the next block needs 4.0 GB"),
    ],
)
def test_too_little_room_is_one_line_and_exit_code_7(tmp_path, left, needed, said):
    with disk_with(left), pytest.raises(OutputError, match=said) as refused:
        check_disk(tmp_path, needed, "the next block")

    assert refused.value.exit_code == 7
    assert "run the same command again" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_that_went_away_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="cannot be reached") as refused:
        check_disk(tmp_path / "gone", 0, "the next block")

    assert "\n" not in str(refused.value)
