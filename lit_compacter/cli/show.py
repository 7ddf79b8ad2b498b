"""`python main.py show --config copa.yaml`: the examples of a task, before anything is trained on them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from lit_compacter.cli.data_verbs import make_data_module
from lit_compacter.data.columns import numbers
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError
from lit_compacter.tasks.answers import Answer, Labels, Number
from lit_compacter.utils.console import console

NUM_EXAMPLES = 3
PERCENTILES = (0, 5, 25, 50, 75, 95, 99, 100)
MAX_TARGETS = 10  # rows of the table for free text
BAR_WIDTH = 40  # characters of the longest bar


def main(args: Sequence[str]) -> None:
    """Parse the options of `show` and print what they ask for."""
    show(make_data_module("show", args))


def show(data: GlueDataModule) -> None:
    """Print three examples, the distributions of targets and lengths, and what truncation and the vocabulary lose."""
    split = "predict" if data.task.trained_on else "train"  # a diagnostic set has no other rows
    if split == "train" and data.options.streaming:
        raise UserError("show reads all training rows; give --data.streaming false")
    data.prepare_split(split)
    rows = data.data[split]
    console.print(f"[bold]{data.task.name}[/]: {len(rows):,} examples to {split}")
    for number in range(0, len(rows), max(1, len(rows) // NUM_EXAMPLES))[:NUM_EXAMPLES]:
        console.print(example(rows[number], f"example {number + 1}", data.tokenizer))
    if targets := Counter(targets[0] for targets in rows["targets"] if targets):
        console.print(targets_table(targets, data.task.answer))
    console.print(lengths_table(numbers(rows, "length") + numbers(rows, "num_truncated")))
    for line in data.describe_losses(split):
        console.print(line, markup=False, soft_wrap=True)


def example(row: dict[str, Any], title: str, tokenizer: PreTrainedTokenizerBase) -> Panel:
    """An input and its target, each with its number of tokens. A truncated input is shown truncated."""
    truncated = row["num_truncated"]
    tokens = f"{row['length'] + truncated} tokens" + (f", {truncated} of them truncated" if truncated else "")
    whole = "".join(row["segments"])
    source = tokenizer.decode(row["input_ids"], skip_special_tokens=True) if truncated else whole
    text = Text.assemble(("source ", "bold"), (f"({tokens})\n", "dim"), source)
    if row["targets"]:
        target = f"({len(row['labels'])} tokens)\n"
        text = Text.assemble(text, ("\ntarget ", "bold"), (target, "dim"), row["targets"][0])
    return Panel(text, title=title, title_align="left")


def targets_table(counts: Counter[str], answer: Answer) -> Table:
    """Count the targets: all labels, the most common texts, or the most common numbers in ascending order."""
    table = Table("target", "rows", "%", "", title="targets", title_justify="left")
    most = max(counts.values())
    names = dict(zip(answer.targets, answer.names, strict=True)) if isinstance(answer, Labels) else {}
    shown = [(text, counts[text]) for text in names] or counts.most_common(MAX_TARGETS)
    for target, count in sorted(shown, key=lambda pair: float(pair[0])) if isinstance(answer, Number) else shown:
        meaning = f"{target} ({names[target]})" if names.get(target, target) != target else target
        share = f"{100 * count / counts.total():.1f}"
        table.add_row(Text(meaning), f"{count:,}", share, "█" * round(BAR_WIDTH * count / most))
    if not names and len(counts) > MAX_TARGETS:
        table.add_row(f"{len(counts) - MAX_TARGETS:,} others", "", "", "")
    return table


def lengths_table(lengths: npt.NDArray[np.int64]) -> Table:
    """Percentiles of the inputs' lengths before truncation."""
    table = Table(
        *(f"{percent} %" for percent in PERCENTILES), title="source tokens, percentiles", title_justify="left"
    )
    table.add_row(*(f"{np.percentile(lengths, percent):.0f}" for percent in PERCENTILES))
    return table
