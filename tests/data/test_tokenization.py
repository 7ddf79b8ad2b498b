"""What is too long is cut where it hurts least; tokens are cached by content."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerBase

from lit_compacter.backbones.tokenizer import load_tokenizer
from lit_compacter.data import tokenization as tokens
from lit_compacter.data.rows import Rows
from lit_compacter.data.tokenization import Encoder, common_length, encode_sources, tokenize_rows
from lit_compacter.errors import UserError
from tests.conftest import TINY, shared

LONG = ["question: ", "Is tea a drink?", " passage: ", "Tea is a drink. " * 40, " word: ", "tea", ""]
SHORT = ["question: ", "Why?", " passage: ", "So.", ""]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(TINY)


def test_the_longest_field_is_cut_and_the_others_survive(tokenizer: PreTrainedTokenizerBase) -> None:
    ids, cut = encode_sources([SHORT, LONG, LONG], tokenizer, 64)
    whole = tokenizer("".join(LONG)).input_ids
    assert cut == [0, len(whole) - 64, len(whole) - 64] and len(ids[1]) == 64 and ids[1] == ids[2]
    assert ids[0] == tokenizer("".join(SHORT)).input_ids
    text = tokenizer.decode(ids[1])
    assert text.startswith("question: Is tea a drink? passage: Tea is a drink. Tea") and text.endswith(" word: tea</s>")
    # Nothing but the end of the passage is missing.
    tail = tokenizer(" word: tea").input_ids
    head = len(ids[1]) - len(tail)
    assert ids[1][:head] == whole[:head] and ids[1][head:] == tail


def test_two_long_fields_are_cut_to_a_common_length(tokenizer: PreTrainedTokenizerBase) -> None:
    long = ["sentence1: ", "tea is a drink " * 30, " sentence2: ", "a plum is a fruit " * 30, " word: ", "tea", ""]
    (ids,), _ = encode_sources([long], tokenizer, 64)
    end = " word: tea</s>"
    first, second = tokenizer.decode(ids).removeprefix("sentence1: ").split(" sentence2: ")
    assert len(ids) >= 63 and second.endswith(end)
    counts = [len(tokenizer(part).input_ids) for part in (first, second.removesuffix(end))]
    assert counts[0] == counts[1] > 15


@pytest.mark.parametrize(
    ("lengths", "room", "common"),
    [([3, 50, 4], 20, 13), ([3, 50, 40], 20, 8), ([5, 5], 9, 4), ([1, 2], 10, 2), ([7], 0, 0), ([7, 8], -3, 0)],
)
def test_common_length(lengths: list[int], room: int, common: int) -> None:
    assert common_length(lengths, room) == common


def test_no_field_is_long_enough(tokenizer: PreTrainedTokenizerBase) -> None:
    (ids,), (cut,) = encode_sources([LONG], tokenizer, 6)
    assert len(ids) == 6 and ids[-1] == tokenizer.eos_token_id and cut > 0
    assert ids[:5] == tokenizer("".join(LONG)).input_ids[:5]


def test_tokens_are_those_of_the_tokenizer(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """Also if its file asks for truncation and padding."""
    settings = json.loads((TINY / "tokenizer.json").read_text())
    settings["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    for file in TINY.glob("*.json"):
        shutil.copy(file, tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    rows = [[text, ""] for text in ("", " ", "Tea is a drink.", " Tea  is\na drink 🙂</s> <extra_id_0>!")]
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path), ByT5Tokenizer()):
        ids, cut = encode_sources(rows, one, 64)
        assert ids == one([text for text, _ in rows]).input_ids and not any(cut)


def test_the_limit_itself_is_not_cut(tokenizer: PreTrainedTokenizerBase) -> None:
    count = len(tokenizer("".join(LONG)).input_ids)
    assert encode_sources([LONG], tokenizer, count)[1] == [0] and encode_sources([LONG], tokenizer, count - 1)[1] == [1]


def test_the_real_vocabulary() -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared("t5-tokenizer"))
    (ids,), _ = encode_sources([LONG], tokenizer, 64)
    text = tokenizer.decode(ids)
    assert text.startswith("question: Is tea a drink? passage: Tea is a drink.") and text.endswith(" word: tea</s>")


def test_a_model_that_has_its_vocabulary_alone(tmp_path: Path) -> None:
    """As mT5 and UMT5 are on the hub: no tokenizer.json, but spiece.model."""
    whole = shared("t5-tokenizer")
    shutil.copy(whole / "spiece.model", tmp_path)
    shutil.copy(whole / "tokenizer_config.json", tmp_path)
    text = "".join(LONG)
    assert load_tokenizer(str(tmp_path))(text).input_ids == load_tokenizer(str(whole))(text).input_ids


def test_bytes(tmp_path: Path) -> None:
    """ByT5's tokenizer, which is none of the fast ones."""
    for _ in range(2):
        (row,) = tokenize_rows(make_rows(["0"]), Encoder(ByT5Tokenizer(), 26, 8, "train"), str(tmp_path)).to_list()
        assert bytes(token - 3 for token in row["input_ids"][:-1]) == b"question: Wh passage: So"
        assert row["num_truncated"] == 3 and row["input_ids"][-1] == 1
    assert len(list(tmp_path.iterdir())) == 1


def make_rows(*targets: list[str], key: str = "key") -> Rows:
    columns = {"segments": [SHORT] * len(targets), "targets": targets, "idx": range(len(targets))}
    table = datasets.Dataset.from_dict({**columns, "group": [None] * len(targets)})
    return Rows(table, key, np.arange(len(targets)))


def test_cache(tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for all that the examples depend on, which is not the number of processes."""
    rows, encoder = make_rows(["0"], ["1", "2"], ["3"]), Encoder(tokenizer, 32, 8, "train")
    first = tokenize_rows(rows, encoder, str(tmp_path))

    def never(*_: object) -> None:
        raise AssertionError("tokenized again")

    with monkeypatch.context() as patch:
        patch.setattr(tokens, "encode_sources", never)
        patch.setattr(tokens, "is_writable", never)  # a cache that others have filled may be read-only
        for processes in (None, 2):
            assert tokenize_rows(rows, encoder, str(tmp_path), processes).to_list() == first.to_list()
    others = [replace(encoder, **change) for change in CHANGES]
    assert len({encoder.cache_key(rows), *(other.cache_key(rows) for other in others)}) == 1 + len(CHANGES)
    assert len({encoder.cache_key(some) for some in (rows, rows[:2], rows[::-1], replace(rows, key="other"))}) == 4
    parallel = tokenize_rows(rows, encoder, str(tmp_path / "other"), 2)
    assert parallel.to_list() == first.to_list() and parallel.features == first.features


CHANGES: list[dict[str, Any]] = [
    {"max_source_length": 16},
    {"max_target_length": 9},
    {"split": "test"},
    {"first_row": 5},
    {"one_target": True},
    {"tokenizer": ByT5Tokenizer()},
]


def test_columns(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    long = "a long answer of many words"
    rows = make_rows([], [long], ["0", "1"])
    whole, other, both = tokenize_rows(rows, Encoder(tokenizer, 5, 4, "test", first_row=7), str(tmp_path)).to_list()
    assert (whole["length"], len(whole["input_ids"])) == (5, 5)
    assert whole["num_truncated"] == len(tokenizer("".join(SHORT)).input_ids) - 5
    assert whole["labels"] == tokenizer("").input_ids  # no target is known
    assert len(other["labels"]) == 4 and other["labels"][-1] == tokenizer.eos_token_id
    assert both["targets"] == ["0", "1"] and both["labels"] == tokenizer("0").input_ids
    assert [(row["split"], row["row"], row["group"]) for row in (whole, both)] == [("test", 7, 7), ("test", 9, 9)]
    training = tokenize_rows(rows[1:], Encoder(tokenizer, 5, 4, "train", one_target=True), str(tmp_path)).to_list()
    assert [(row["targets"], row["row"]) for row in training] == [([long], 0), (["0"], 1), (["1"], 1)]


def test_no_tokenizer(tmp_path: Path) -> None:
    for name, message in ((tmp_path / "none", "no folder"), (tmp_path, "cannot load the tokenizer of the model")):
        with pytest.raises(UserError, match=message):
            load_tokenizer(str(name))
    shutil.copy(TINY / "config.json", tmp_path)  # of which alone transformers makes a tokenizer that knows no words
    with pytest.raises(UserError, match=r"there is no tokenizer\.json or spiece\.model"):
        load_tokenizer(str(tmp_path))
