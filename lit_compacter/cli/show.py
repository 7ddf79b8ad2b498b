"""`python main.py show --config copa.yaml`: what a task's examples look like before anything is trained on them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pytorch_lightning.cli import LightningArgumentParser
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from lit_compacter.cli.parser import ConfigFile, Parser, configs_of, find_defaults
from lit_compacter.cli.user_classes import take_classes
from lit_compacter.data.options import BACKBONE
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.tasks.answers import Answer, Labels, Number
from lit_compacter.utils.console import console

EXAMPLES = 3
PERCENTILES = (0, 5, 25, 50, 75, 95, 99, 100)
MOST_COMMON = 10  # of free text
BAR = 40  # characters of the longest bar

# What the YAMLs of a run have besides; of `model` only the tokenizer is wanted.
OTHERS: dict[str, Any] = {"trainer": dict, **dict.fromkeys(("seed_everything", "save_every"), int)}
OTHERS |= {"run_name": str, "ckpt_path": str, "debug": bool}


def main(args: Sequence[str]) -> None:
    """Parse the options of `show` and print what they ask for."""
    defaults = find_defaults()
    classes, words = take_classes(args, configs_of(args))
    parser = make_parser(defaults, classes["data"])
    config = parser.instantiate(parser.parse_args(words))
    show(config.data)


def make_parser(defaults: Path, data_class: type) -> LightningArgumentParser:
    """A parser that takes the YAMLs of a run and needs only what is under `data` and the name of the model."""
    parser = Parser(
        prog="main.py show",
        command_line=True,
        description="Print examples of a task's training rows as text pairs, the distribution of labels and lengths, "
        "how many rows are cut, and what of them the model's vocabulary lacks.",
        default_config_files=[str(defaults)],
    )
    parser.add_argument("-c", "--config", action=ConfigFile, help="Config file: a path, or a name in configs/.")
    default = {"model_name": BACKBONE}
    parser.add_argument("--model", type=dict, default=default, help="Only --model.model_name is needed.")
    for name, kind in OTHERS.items():
        parser.add_argument(f"--{name}", type=kind | None, help="Of a run; not needed here.")
    parser.add_lightning_class_args(data_class, "data")
    parser.link_arguments("model", "data.model_name", compute_fn=lambda model: model["model_name"])
    return parser


def show(data: GlueDataModule) -> None:
    """Print three examples, the distribution of targets and of lengths, and what of the rows is lost."""
    role = "predict" if data.task.trained_on else "train"  # a diagnostic set has no other rows
    data.make(role)
    rows = data.data[role]
    console.print(f"[bold]{data.task.name}[/]: {len(rows):,} examples to {role}")
    for number in range(0, len(rows), max(1, len(rows) // EXAMPLES))[:EXAMPLES]:
        console.print(example(rows[number], f"example {number + 1}", data.tokenizer))
    if targets := Counter(targets[0] for targets in rows["targets"] if targets):
        console.print(targets_table(targets, data.task.answer))
    lengths = np.array(rows["length"]) + np.array(rows["cut"])
    console.print(lengths_table(lengths))
    for line in data.losses(role):
        console.print(line, markup=False, soft_wrap=True)


def example(row: dict[str, Any], title: str, tokenizer: PreTrainedTokenizerBase) -> Panel:
    """An input and its target, each with the number of its tokens; of a cut input what is left."""
    tokens = f"{row['length'] + row['cut']} tokens" + (f", {row['cut']} of them cut" if row["cut"] else "")
    source = tokenizer.decode(row["input_ids"], skip_special_tokens=True) if row["cut"] else "".join(row["pieces"])
    text = Text.assemble(("source ", "bold"), (f"({tokens})\n", "dim"), source)
    if row["targets"]:
        text = Text.assemble(
            text, ("\ntarget ", "bold"), (f"({len(row['labels'])} tokens)\n", "dim"), row["targets"][0]
        )
    return Panel(text, title=title, title_align="left")


def targets_table(counts: Counter[str], answer: Answer) -> Table:
    """How often each target occurs: all labels, the most common texts, the most common numbers in their order."""
    table = Table("target", "rows", "%", "", title="targets", title_justify="left")
    most = max(counts.values())
    words = dict(zip(answer.texts, answer.words, strict=True)) if isinstance(answer, Labels) else {}
    shown = [(text, counts[text]) for text in words] or counts.most_common(MOST_COMMON)
    for target, count in sorted(shown, key=lambda pair: float(pair[0])) if isinstance(answer, Number) else shown:
        meaning = f"{target} ({words[target]})" if words.get(target, target) != target else target
        share = f"{100 * count / counts.total():.1f}"
        table.add_row(Text(meaning), f"{count:,}", share, "█" * round(BAR * count / most))
    if not words and len(counts) > MOST_COMMON:
        table.add_row(f"{len(counts) - MOST_COMMON:,} others", "", "", "")
    return table


def lengths_table(lengths: npt.NDArray[np.int64]) -> Table:
    """Percentiles of the inputs' lengths before cutting."""
    table = Table(
        *(f"{percent} %" for percent in PERCENTILES), title="source tokens, percentiles", title_justify="left"
    )
    table.add_row(*(f"{np.percentile(lengths, percent):.0f}" for percent in PERCENTILES))
    return table
