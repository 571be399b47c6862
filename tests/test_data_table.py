"""Large text tables: rows are found by their bytes, whatever stands in them, and a bad row costs that row alone."""

from __future__ import annotations

import csv
import pickle
import random
from pathlib import Path

import pytest

from minivl.data.table import Table, Tables
from minivl.errors import InputError

HEADER = "videoid,page_dir,name\n"
COLUMNS = ("videoid", "page_dir", "name")


def write(folder: Path, text: str | bytes, name: str = "0.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def table(folder: Path, text: str | bytes, name: str = "0.csv") -> Table:
    return Table(write(folder, text, name), COLUMNS)


def names(rows: Table) -> list[str]:
    return [rows[i]["name"] for i in range(len(rows))]


def reason(rows: Table, i: int) -> str:
    with pytest.raises(InputError) as error:
        rows[i]
    return str(error.value)


def test_a_caption_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    rows = table(tmp_path, HEADER + '1,a,"sea, slow\nmotion"\n2,a,"a ""red"" car"\n3,a,5" pipe\n4,a,sea\n')
    assert names(rows) == ["sea, slow\nmotion", 'a "red" car', '5" pipe', "sea"]
    assert rows.where(3).endswith("0.csv, line 6,")  # the first caption takes two lines


def test_a_quote_inside_a_column_opens_nothing(tmp_path: Path) -> None:
    rows = table(tmp_path, HEADER + '3" disk,a,"sea\nand sky"\n4,a,5" pipe\n5,a,sun\n')
    assert names(rows) == ["sea\nand sky", '5" pipe', "sun"]


def test_rows_are_those_of_the_csv_module(tmp_path: Path) -> None:
    random.seed(0)
    written = [
        [str(i), "p", "".join(random.choices('ab ,"\n\téß', k=random.randint(0, 12)))]  # all that a caption may hold
        for i in range(3000)
    ]
    for delimiter in ",\t;":
        with (tmp_path / "0.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows([list(COLUMNS), *written])
        rows = Table(tmp_path / "0.csv", COLUMNS)
        assert [list(rows[i].values()) for i in range(len(rows))] == written


@pytest.mark.parametrize("text", [HEADER.replace(",", "\t") + "1\ta\tsea, blue\n", HEADER + '1,a,"sea, blue"\n'])
@pytest.mark.parametrize("name", ["0.csv", "0.tsv"])
def test_the_header_tells_the_delimiter_not_the_files_name(tmp_path: Path, text: str, name: str) -> None:
    assert names(table(tmp_path, text, name)) == ["sea, blue"]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + HEADER.encode() + b"1,a,sea\n2,a,sky\n",
        (HEADER + "1,a,sea\n2,a,sky\n").replace("\n", "\r\n").encode(),
        HEADER.encode() + b"\n1,a,sea\n\n\r\n2,a,sky",
        b"other, name ,page_dir,videoid\nx,sea,a,1\nx,sky,a,2\n",
    ],
    ids=["byte order mark", "Windows line ends", "blank lines, no last line end", "other order and columns"],
)
def test_what_programs_make_of_the_same_table(tmp_path: Path, text: bytes) -> None:
    assert names(table(tmp_path, text)) == ["sea", "sky"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"2,a\n", "has 2 columns where the header has 3"),
        (b"2,a,sea, blue\n", "has 4 columns"),
        (b"2,a,s\xe9a\n", "is not UTF-8 text"),
        (b'2,a,"sea\n', "a quote that is never closed"),
    ],
)
def test_a_bad_row_is_one_bad_row(tmp_path: Path, row: bytes, why: str) -> None:
    rows = table(tmp_path, HEADER.encode() + b"1,a,sky\n" + row + b'3,a,"sun, moon"\n4,a,star\n')
    assert len(rows) == 4
    assert why in reason(rows, 1)
    assert rows.where(1).endswith("line 3,")
    assert [rows[i]["videoid"] for i in (0, 2, 3)] == ["1", "3", "4"]


def test_a_row_of_empty_columns_is_a_row(tmp_path: Path) -> None:
    rows = table(tmp_path, HEADER.replace(",", "\t") + "\t\t\n1\ta\tsea\n")
    assert names(rows) == ["", "sea"]


def test_a_quote_that_is_never_closed_does_not_swallow_a_large_file(tmp_path: Path) -> None:
    rows = table(tmp_path, HEADER + '1,a,"sea\n' + "2,a,sky\n" * 50_000)
    assert len(rows) == 50_001
    assert "never closed" in reason(rows, 0)
    assert rows[50_000]["name"] == "sky"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"1,a,sea\n", "has no columns videoid, page_dir, name in its first line, which is '1,a,sea'"),
        ((HEADER + "1,a,sea\n").encode("utf-16"), "is not UTF-8 text"),
        ((HEADER + "1,a,sea\n").replace("\n", "\r").encode(), "has no columns"),
    ],
    ids=["empty", "no header", "UTF-16", "old Mac line ends"],
)
def test_a_file_that_is_no_such_table_is_named(tmp_path: Path, text: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        table(tmp_path, text)
    assert "0.csv" in str(error.value) and "\n" not in str(error.value)


def test_a_table_of_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert len(table(tmp_path, HEADER)) == 0


def test_an_open_table_is_small_and_goes_to_another_process_without_its_file(tmp_path: Path) -> None:
    rows = table(tmp_path, HEADER + "1,a,a caption of some length\n" * 20_000)
    assert rows[19_999]["name"] == "a caption of some length"
    sent = pickle.dumps(rows)
    assert len(sent) < 13 * len(rows)  # bytes
    assert pickle.loads(sent)[7] == rows[7]


def test_tables_follow_each_other(tmp_path: Path) -> None:
    parts = [table(tmp_path, HEADER + "".join(f"{i},a,sea\n" for i in r), f"{k}.csv")
             for k, r in enumerate((range(3), range(0), range(3, 5)))]  # fmt: skip
    rows = Tables(parts)
    assert [rows[i]["videoid"] for i in range(len(rows))] == ["0", "1", "2", "3", "4"]
    assert rows.where(4).endswith("2.csv, line 3,")
    assert len(Tables([])) == 0
