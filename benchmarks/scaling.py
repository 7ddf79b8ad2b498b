"""The table of docs/scaling.md: what T5-small to T5-11B take.

`python -m benchmarks.scaling` estimates it as `main.py plan` does, and writes it between the marks in the page.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from benchmarks.results import table
from lit_compacter.backbones.published import V1_0, published_config
from lit_compacter.cli.configs import ROOT
from lit_compacter.methods import Compacter, FullFineTuning, Method
from lit_compacter.model_options import ModelOptions
from lit_compacter.planning.memory import Memory, Strategy
from lit_compacter.planning.plan import CARDS, Estimate, Run, fits, strategies
from lit_compacter.planning.table import gigabytes
from lit_compacter.planning.trace import BatchShape, Tracer

PAGE = ROOT / "docs" / "scaling.md"
MARKS = "<!-- python -m benchmarks.scaling -->\n", "<!-- end -->\n"
DEVICES = 8
ROWS = (8, 100)
COLUMNS: tuple[Strategy, ...] = ("ddp", "sharded")
# What is shown of each model: method and how it is held.
LINES: tuple[tuple[str, Method, str], ...] = (
    ("full", FullFineTuning(), "float32"),
    *(("Compacter", Compacter(), kind) for kind in ("float32", "bfloat16", "8bit", "nf4")),
)


def cell(memory: Memory | None) -> str:
    """`10.4 · 16`: GB, and the smallest card that is enough; `–` where a strategy does not fit."""
    if memory is None:
        return "–"
    card = next((f"{card}" for card in CARDS if fits(memory, card)), "none")
    return f"{gigabytes(memory.total)} · {card}"


def lines(size: str) -> Iterator[list[str]]:
    """The rows of a model."""
    config = published_config(f"t5-{size}")
    assert config is not None
    for title, method, kind in LINES:
        run = Run(config, method, ModelOptions(), BatchShape(1, 128, 4), devices=DEVICES).with_backbone(
            kind, checkpointing=False
        )
        tracer = Tracer(config, method, run.options, run.precision)
        for checkpointing in (False, True):
            if checkpointing:
                tracer.checkpoint()
            cells = [f"T5-{size.upper() if size[0].isdigit() else size}", title, kind, "yes" if checkpointing else "no"]
            shaped = (dataclasses.replace(run, shape=BatchShape(rows, 128, 4)) for rows in ROWS)
            estimates = [Estimate(shape, tracer) for shape in shaped]
            allowed = strategies(run, kind, tracer.weights)
            for strategy in COLUMNS:
                cells += [cell(e.memory(strategy) if strategy in allowed else None) for e in estimates]
            yield cells


def markdown(sizes: list[str]) -> str:
    header = ["model", "method", "frozen weights", "checkpointing"]
    header += [f"{strategy}, {rows} × 128" for strategy in COLUMNS for rows in ROWS]
    return table(header, [row for size in sizes for row in lines(size)])


def replace_table(page: Path, text: str) -> None:
    """Write the table between the marks."""
    before, rest = page.read_text().split(MARKS[0])
    page.write_text(before + MARKS[0] + text + MARKS[1] + rest.split(MARKS[1])[1])


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    text = markdown(list(V1_0))
    replace_table(PAGE, text)
    print(text)


if __name__ == "__main__":
    main()
