"""The rows and the model folder that all contestants of an epoch or an evaluation share.

Peers' environments import it too: nothing of this package is needed.
"""

import argparse
import csv
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from benchmarks.sizes import t5_config

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "data/demo"
TOKENIZER = ROOT / "data/tiny-t5"
TASK = "RTE"
TARGETS = {"entailment": "0", "not_entailment": "1"}
TOKENIZER_FILES = ("spiece.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
MAX_LENGTH = 128  # source tokens


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that comparisons over RTE share."""
    parser.add_argument(
        "--data_dir", type=Path, default=DEMO, help="GLUE's folder, with RTE/; default: the demo's rows"
    )
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="folder of a T5's tokenizer")
    parser.add_argument("--batch_size", type=int, default=32)


def write_model(folder: Path, size: str, tokenizer: Path) -> Path:
    """Write the config of a T5 with random weights, and a tokenizer."""
    t5_config(size).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, folder)
    return folder


def write_rows(folder: Path, data_dir: Path, counts: dict[str, int]) -> Path:
    """Write the first rows of RTE's files. Returns `folder`.

    Args:
        folder: The new folder for DIR/RTE/train.tsv and dev.tsv.
        data_dir: GLUE's folder.
        counts: train or dev → how many.
    """
    (folder / TASK).mkdir(parents=True)
    for split, count in counts.items():
        lines = (data_dir / TASK / f"{split}.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / TASK / f"{split}.tsv").write_text("".join(lines[: count + 1]), encoding="utf-8")
    return folder


def load_tokenizer(folder: Path) -> Any:
    """A T5's tokenizer, the same in every version of transformers, without sentencepiece."""
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)


def tokenized_rows(data_dir: Path, split: str, tokenizer: Any) -> list[dict[str, list[int]]]:
    """The rows in file order, as a user of a peer would tokenize them: input_ids, attention_mask and labels."""
    with (data_dir / TASK / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    texts = [f"sentence1: {row['sentence1']} sentence2: {row['sentence2']}" for row in rows]
    inputs = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)
    labels = tokenizer([TARGETS[row["label"]] for row in rows]).input_ids
    columns = zip(inputs.input_ids, inputs.attention_mask, labels, strict=True)
    return [dict(zip(("input_ids", "attention_mask", "labels"), row, strict=True)) for row in columns]
