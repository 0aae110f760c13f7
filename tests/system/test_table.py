import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.errors import UsageError
from lulcmap.system.table import read_rows, write_table


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


@pytest.mark.parametrize("row", ["10,5,49,6", "10, mixed forest,x"])
def test_a_comma_too_many_is_refused(tmp_path, row):
    """A decimal comma would make 10.5 and 49.6 degrees 10 and 5."""
    path = tmp_path / "t.csv"
    path.write_text(f"lon,lat\n1,2\n{row}\n")

    with pytest.raises(UsageError, match=r"Line 3 of .* has more values than the header"):
        read_rows(path, "places", "a CSV file")


def test_empty_values_behind_a_row_are_ignored(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("lon,lat\n1,2,\n3,4, ,\n")

    rows = read_rows(path, "places", "a CSV file")

    assert rows == [{"lon": "1", "lat": "2"}, {"lon": "3", "lat": "4"}]
