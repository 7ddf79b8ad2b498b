"""From labels to target texts and back."""

import math

import numpy as np
import pytest
from transformers import AutoTokenizer

from lit_compacter.tasks.answers import INVALID, Labels, Number, Text
from tests.conftest import TINY

YES = Labels(("false", "true"), submission_values=("False", "True"))


@pytest.mark.parametrize(
    ("label", "word"), [(True, "true"), ("false", "false"), (None, None), (-1, None), ("-1", None), ("", None)]
)
def test_labels_as_files_have_them(label: object, word: str | None) -> None:
    assert YES.parse_label(label) == word


def test_labels_there_and_back() -> None:
    assert (YES.target_texts("true"), YES.target_texts(None)) == (["1"], [])
    assert (YES.value(" 1 "), YES.value("true")) == (1, INVALID)
    assert (YES.to_submission("1"), YES.to_submission("maybe")) == ("True", None)
    assert (YES.parse_hub_label(1), YES.parse_hub_label(-1)) == ("true", None)
    own = Labels(("no", "yes"), targets=("no", "yes"))
    assert own.target_texts("yes") == ["yes"] and own.value("yes") == 1 and own.to_submission("yes") == "yes"


def test_minus_one_may_be_a_label() -> None:
    assert Labels(("-1", "1")).parse_label(-1) == "-1"


def test_unknown_label() -> None:
    with pytest.raises(ValueError, match="one of false, true"):
        YES.parse_label("maybe")


@pytest.mark.parametrize(
    ("score", "target"),
    [(0.0, "0.0"), (5.0, "5.0"), (3.75, "3.8"), (2.5, "2.4"), (1.5, "1.6"), (2.69, "2.6"), ("4.2", "4.2")],
)
def test_stsb_writes_the_nearest_fifth(score: object, target: str) -> None:
    """T5's rounding, halves to the even fifth."""
    answer = Number(steps=5)
    assert answer.target_texts(answer.parse_label(score)) == [target]


def test_every_stsb_score_is_a_fifth() -> None:
    for hundredths in range(501):
        (target,) = Number(steps=5).target_texts(hundredths / 100)
        assert (
            math.isclose(float(target) * 5, round(float(target) * 5)) and abs(float(target) - hundredths / 100) < 0.1001
        )


def test_the_hubs_32_bits_round_as_the_files_numbers_do() -> None:
    answer = Number(steps=5)
    for tenths in range(51):
        from_hub = float(np.float32(tenths / 10))
        assert answer.target_texts(answer.parse_hub_label(from_hub)) == answer.target_texts(
            answer.parse_label(f"{tenths / 10:.3f}")
        )


NO_NUMBERS = [
    "",
    "three",
    "nan",
    "inf",
    "-Infinity",
    "1e400",
    "9" * 400,
    "3,5",
    "1_000",
    "1,000",
    "½",
    "0x10",
    "- 5",
    "1 2",
]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_no_number(text: str) -> None:
    assert math.isnan(Number().value(text)) and Number(invalid=-1.0).value(text) == -1
    assert Number().to_submission(text) is None


@pytest.mark.parametrize("label", [True, False, math.nan, math.inf, 10**400, *NO_NUMBERS[1:]])
def test_no_number_as_a_label(label: object) -> None:
    with pytest.raises(ValueError, match="a number"):
        Number().parse_label(label)


@pytest.mark.parametrize(
    ("text", "number"),
    [(" 5 ", 5), ("+5", 5), ("-5", -5), ("−5", -5), ("5.", 5), (".5", 0.5), ("1e-9", 1e-9), ("1E3", 1000), ("١٢", 12)],
)
def test_numbers_as_people_write_them(text: str, number: float) -> None:
    assert Number().value(text) == number == Number().parse_label(text)


@pytest.mark.parametrize(
    "number", ["-5", "12345678901", "1000000.0001", "0.1", "-0.000123", "1e-09", "123456789012.345"]
)
def test_a_number_keeps_its_digits(number: str) -> None:
    assert Number().target_texts(Number().parse_label(number)) == [number]


def test_numbers() -> None:
    assert Number().parse_label("") is None and Number().target_texts(Number().parse_label("0.125")) == ["0.125"]
    assert Number().parse_hub_label(-1.0) is None and Number().parse_hub_label(2.0) == 2.0
    assert Number().target_texts(200_000_003.0) == ["200000003"]
    with pytest.raises(ValueError, match="a number"):
        Number().parse_label("high")


def test_texts() -> None:
    assert Text().parse_label("Oslo") == ["Oslo"] and Text().parse_label(["a", "b"]) == ["a", "b"]
    assert Text().parse_label([]) is None and Text().parse_label("") is None and Text().target_texts(None) == []
    assert Text().to_submission(" Oslo ") == "Oslo"
    assert Text().parse_label(42) == ["42"] and Text().parse_label([True, 0.5]) == ["true", "0.5"]
    with pytest.raises(ValueError, match="a text or a list of texts"):
        Text().parse_label({"a": 1})


def test_generation_may_go_one_token_past_the_longest_label() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    assert Labels(("x", "y")).max_tokens(tokenizer) == 1 + len(tokenizer("0").input_ids)
