"""The input text of a row."""

import pytest

from lit_compacter.errors import UserError
from lit_compacter.tasks.templates import Template, fields

ROW = {"question": "Who?", "my column": 3, "b": "{x} \\1"}


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("q: {question} c: {my column}", ["q: ", "Who?", " c: ", "3", ""]),
        ("{b}", ["", "{x} \\1", ""]),
        ("{{{question}}} {{end}}", ["{", "Who?", "} {end}"]),
        ("{question}{question}", ["", "Who?", "", "Who?", ""]),
    ],
)
def test_pieces(text: str, segments: list[str]) -> None:
    assert Template(text).segments(ROW) == segments


def test_fields_are_the_references() -> None:
    assert "".join(fields("question", "b").segments(ROW)) == "question: Who? b: {x} \\1"


def test_other_columns() -> None:
    assert Template("{{a: {a} b: {b}").over(("x", "y")).text == "{{a: {x} b: {y}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no column", "names no column"),
        ("", "names no column"),
        ("a {question", r"expected '}' before end of string; expected columns in braces"),
        ("a } b", "Single '}' encountered"),
        ("{}", "expected the name of a column between braces"),
        ("{question!r}", "expected the name of a column between braces"),
        ("{question:>9}", "expected the name of a column between braces"),
    ],
)
def test_wrong_templates(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Template(text)
