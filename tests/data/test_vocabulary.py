"""What the model cannot read or write is counted and said; where nothing could be learned it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, ByT5Tokenizer

from lit_compacter.cli.main import main
from lit_compacter.data.vocabulary import check_labels, unknown_characters
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError
from tests.conftest import TINY, shared

WORDS = ["yes", "no", "so it is", "it is not"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def make(tmp_path: Path, sources: list[str], targets: list[Any], **more: Any) -> GlueDataModule:
    path = tmp_path / "train.jsonl"
    rows = [{"text": source, "answer": target} for source, target in zip(sources, targets, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"model_name": str(TINY), "source": "{text}", "target": "answer", "train_file": str(path)} | more
    data = GlueDataModule(task="text2text", **options)
    data.prepare_split("train")
    return data


def texts(count: int = 4) -> list[str]:
    return [f"Ann {i}." for i in range(count)]


def test_nothing_is_said_where_nothing_is_lost(tmp_path: Path) -> None:
    """White space at the ends, spaces and forms of characters are not what a text says."""
    assert make(tmp_path, texts(), WORDS).describe_losses("train") == ["none is longer than 128 tokens"]
    spaced = ["yes  ", " no", "so  it\u00a0is", "\uff49t is not"]
    real = make(tmp_path, texts(), spaced, model_name=str(shared("t5-tokenizer")))
    assert real.describe_losses("train") == ["none is longer than 128 tokens"]


def test_characters_that_the_vocabulary_lacks_in_inputs(tmp_path: Path) -> None:
    data = make(tmp_path, ["Ann 日.", "Bob.", "日本 «", "Eve."], WORDS)
    assert data.describe_losses("train")[1:] == [
        "2 (50.0 %) have characters that the model's vocabulary lacks and reads as <unk>, such as '日', '本', '«'"
    ]


def test_targets_that_are_cut_or_cannot_be_written(tmp_path: Path) -> None:
    data = make(tmp_path, texts(), ["yes", "so it is", "日本", "no"], max_target_length=5)
    long, unwritable = data.describe_losses("train")[1:]
    assert long == "1 (25.0 %) have targets longer than 5 tokens, which lose their end"
    assert unwritable == "1 (25.0 %) have targets that the model cannot express: '日本' comes back as ''"
    # Of a long text the place is shown where it differs; lost are line breaks, too.
    (line,) = make(tmp_path, texts(), [*WORDS[:3], "a b c " * 9 + "d\ne"]).describe_losses("train")[1:]
    assert line.endswith("'… c a b c d\\ne' comes back as '… c a b c d e'")


def test_numbers_that_are_cut(tmp_path: Path) -> None:
    data = make(tmp_path, texts(), [3, 4, 5.25, 1234567.5], metrics=["pearson"], max_target_length=6)
    assert data.describe_losses("train")[1:] == ["1 (25.0 %) have targets longer than 6 tokens, which lose their end"]


def test_the_real_vocabulary(tmp_path: Path) -> None:
    """T5's has neither braces nor a tilde."""
    real = {"model_name": str(shared("t5-tokenizer"))}
    data = make(tmp_path, ["f {x}", "~y", "z", "w 🙂"], ["x = {1}", "a\tb", "yes", "no"], **real)
    unknown, unwritable = data.describe_losses("train")[1:]
    assert unknown.startswith("3 (75.0 %)") and all(character in unknown for character in "{}~🙂")
    assert unwritable == "2 (50.0 %) have targets that the model cannot express: 'x = {1}' comes back as 'x = 1'"


def test_bytes_write_everything() -> None:
    assert unknown_characters(["日本 {«"], ByT5Tokenizer()) == []
    check_labels(["日", "本"], ByT5Tokenizer(), 4)


@pytest.mark.parametrize(
    ("sources", "targets", "more", "message"),
    [
        (texts(), list("日本語文"), {}, "targets, such as '日', are all empty as tokens; the model's vocabulary lacks"),
        (texts(), ["日"] * 4, {}, "targets, such as '日', are all empty as tokens; the model's vocabulary lacks"),
        (texts(), [" ", "  ", " ", " "], {}, "targets, such as ' ', are all empty as tokens"),
        (texts(), ["a 日", "a 本", "a 語", "a 文"], {}, "targets, such as 'a 日', are all the same as tokens; the mod"),
        (texts(), ["a b c", "a b d"] * 2, {"max_target_length": 3}, r"same as tokens; they are cut to 3 tokens \(data"),
        (list("日本語文"), WORDS, {}, "inputs, such as '日', are all empty as tokens; the model's vocabulary lacks"),
        (["a 日", "a 日本", "a 語", "a 文"], WORDS, {}, "inputs, such as 'a 日', are all the same as tokens; the mod"),
        # Something can be learned of these.
        (texts(), ["a 日", "b 本", "a 語", "a 文"], {}, None),
        (texts(), ["a 日", "a 本", "a 語", "a"], {}, None),
        (texts(), ["a b c"] * 4, {"max_target_length": 3}, None),
        (["a 日", "b 日", "a", "a 文"], WORDS, {}, None),
        (["a 日"] * 4, WORDS, {}, None),
    ],
)
def test_nothing_to_learn(
    sources: list[str], targets: list[str], more: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    if message is None:
        make(tmp_path, sources, targets, **more)
        return
    with pytest.raises(UserError, match=message):
        make(tmp_path, sources, targets, **more)


def test_labels_that_are_cut() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    length = max(map(len, tokenizer(WORDS).input_ids))
    check_labels(WORDS, tokenizer, length)
    with pytest.raises(UserError, match=rf"'.*' has {length} tokens, .* cut to {length - 1} .* give {length} or"):
        check_labels(WORDS, tokenizer, length - 1)


@pytest.mark.usefixtures("_project_root")
def test_show_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Characters as they are, also those that mean something to the terminal's markup."""
    path = tmp_path / "x.csv"
    path.write_text("text,answer\nAnn «[/b].,yes\nBob.,[«]no\n")
    options = ["--data.task=text2text", "--data.source={text}", "--data.target=answer", f"--data.train_file={path}"]
    main(["show", *options, f"--model.model_name={TINY}"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].endswith("have characters that the model's vocabulary lacks and reads as <unk>, such as '«'")
    assert "1 (50.0 %) have targets that the model cannot express: '[«]no' comes back as '[]no'" in lines
