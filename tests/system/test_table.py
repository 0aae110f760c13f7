import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.system.table import write_table


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1",
        "-",
        "=-1",
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_is_shown_as_text(tmp_path, text):
    write_table(tmp_path / "t.csv", [["name", text]])

    assert read(tmp_path / "t.csv") == [["name", f"'{text}"]]


@pytest.mark.parametrize("number", [-3, -0.5, "-0.25", "+1e-3", 7, "1e300", None, "-inf"])
def test_numbers_stay_numbers(tmp_path, number):
    write_table(tmp_path / "t.csv", [["name", number]])

    (cells,) = read(tmp_path / "t.csv")
    assert cells[1] == ("" if number is None else str(number))


@given(st.text().filter(lambda text: not set(text) & {"\0"}))
def test_no_text_begins_a_formula(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"

    try:
        write_table(path, [[text, "x"]])
    except UnicodeEncodeError:
        return

    cell = read(path)[0][0]
    assert cell in (text, f"'{text}")
    assert not cell.startswith(("=", "@", "\t", "\r"))
