"""Rows of files of every kind, and one clear line for a file that is not as it should be."""

from pathlib import Path

import pytest
from datasets import Dataset

from lit_compacter.data.readers import read_rows
from lit_compacter.errors import UserError

ROWS = [{"a": 'He said "no', "b": "🙂\tx"}, {"a": "", "b": "two\nlines"}]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv(tmp_path: Path) -> None:
    ((_, row),) = read_rows(write(tmp_path / "ends.csv", "a,b,,\n1,2,,\n"))
    assert row == {"a": "1", "b": "2", "": ""}
    path = write(tmp_path / "x.csv", '\ufeffa,b\r\n"He said ""no","🙂\tx"\r\n\r\n,"two\nlines"\r\n')
    assert list(read_rows(path)) == [(2, ROWS[0]), (5, ROWS[1])]


def test_tsv_has_no_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", 'a\tb\n"He said\t"no"\n')
    assert list(read_rows(path)) == [(2, {"a": '"He said', "b": '"no"'})]


def test_tsv_options(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", "1\t2\n3\n4\t5\n")
    rows = list(read_rows(path, header=("a", "b"), drop_short=True))
    assert rows == [(1, {"a": "1", "b": "2"}), (2, {}), (3, {"a": "4", "b": "5"})]


def test_long_texts_and_stray_carriage_returns(tmp_path: Path) -> None:
    text = "b" * 140_000
    for name, content in (("x.tsv", f"a\tb\r\n1\rone\t{text}\r\n"), ("x.csv", f'a,b\r\n"1\rone",{text}\r\n')):
        ((_, row),) = read_rows(write(tmp_path / name, content))
        assert row == {"a": "1\rone", "b": text}


def test_jsonl(tmp_path: Path) -> None:
    ((_, row),) = read_rows(write(tmp_path / "nan.jsonl", '{"a": NaN, "b": [Infinity, 1]}'))
    assert row == {"a": None, "b": [None, 1]}
    path = write(tmp_path / "x.jsonl", '\ufeff{"a": "He said \\"no", "b": "🙂\\tx"}\n\n{"a": "", "b": "two\\nlines"}')
    assert list(read_rows(path)) == [(1, ROWS[0]), (3, ROWS[1])]


def test_parquet(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).to_parquet(tmp_path / "x.parquet")
    assert list(read_rows(tmp_path / "x.parquet")) == [(1, ROWS[0]), (2, ROWS[1])]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.jsonl",
            '{"a": 1}\n{"a": \n',
            r"x.jsonl:2: not JSON \(Expecting value at column 1\); expected one object per line",
        ),
        ("x.jsonl", "[1]\n", r"x.jsonl:1: expected a JSON object"),
        ("x.jsonl", b'{"a": "x"}\n{"a": "caf\xe9"}\n', r"x.jsonl:2: not UTF-8 text .* at byte 10 of the line"),
        ("x.tsv", b"a\tb\ncaf\xe9\tb\n", r"x.tsv:2: not UTF-8 text"),
        ("x.tsv", "a\tb\n1\t2\t3\n", r"x.tsv:2: expected 2 columns, found 3"),
        ("x.tsv", "a\tb\n1\n", r"x.tsv:2: expected 2 columns, found 1"),
        ("x.csv", "a,b\n1,2,3\n", r"x.csv:2: expected 2 columns, found 3; quote a field that holds a comma"),
        ("x.csv", 'a,b\n1,"open\n', r"x.csv:2: unexpected end of data"),
        ("x.csv", "a,b,a\n1,2,3\n", r"x.csv:1: column 'a' occurs twice"),
        ("x.jsonl", '{"a": 1, "a": 2}\n', r"x.jsonl:1: not JSON \('a' occurs twice\)"),
        ("x.parquet", "PAR1 no", r"x.parquet is not a parquet file"),
        ("x.xlsx", "", r"x.xlsx is of an unknown type; expected one of .csv, .tsv, .jsonl, .parquet"),
    ],
)
def test_bad_files(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        list(read_rows(write(tmp_path / name, content)))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*x\.csv"):
        list(read_rows(tmp_path / "x.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*folder\.csv"):
        list(read_rows(tmp_path / "folder.csv"))
