"""Padding of the training batches of an epoch: padded over real source tokens.

`python -m benchmarks.padding --tasks rte sst2 --data_dir DIR --model_name T5_DIR --batch_size 32` compares our batches
of similar lengths with batches in random order and in the order of the file.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from benchmarks.results import table, write
from lit_compacter.data.samplers import LengthGroupedBatchSampler
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError

EPOCHS = 5  # that the orders which change from epoch to epoch are averaged over


def padding(lengths: Sequence[int], batches: Iterable[Sequence[int]]) -> float:
    """Σ rows · longest row of the batch, over Σ length."""
    return sum(len(rows) * max(lengths[row] for row in rows) for rows in batches) / sum(lengths)


def cut(order: Sequence[int], size: int) -> list[Sequence[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def measure(lengths: Sequence[int], batch_size: int) -> dict[str, float]:
    """The padding of each order of the rows."""
    rng = np.random.default_rng(0)
    sampler = LengthGroupedBatchSampler(lengths, batch_size, seed=0)
    grouped, random = [], []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        grouped.append(padding(lengths, sampler))
        random.append(padding(lengths, cut(rng.permutation(len(lengths)).tolist(), batch_size)))
    in_file = padding(lengths, cut(range(len(lengths)), batch_size))
    return {"ours": float(np.mean(grouped)), "random order": float(np.mean(random)), "file order": in_file}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["rte", "sst2"], metavar="TASK")
    parser.add_argument("--data_dir", help="the benchmark's own files; default: the hub")
    parser.add_argument("--model_name", default="google-t5/t5-base", help="the model whose tokenizer is used")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--max_source_length", type=int, default=128)
    parser.add_argument("--out", type=Path, help="folder for the results; default: they are only printed")
    options = vars(parser.parse_args())
    tasks, out = options.pop("tasks"), options.pop("out")
    datasets.disable_progress_bars()
    results: dict[str, Any] = {}
    for task in tasks:
        data = GlueDataModule(task=task, **options)
        try:
            data.prepare_split("train")
        except UserError as error:
            print(f"{task} is left out: {error}")
            continue
        lengths = data.data["train"]["length"][:]
        measured = measure(lengths, options["batch_size"])
        results[task] = {"rows": len(lengths), "tokens": sum(lengths), "padded_over_real": measured}
    if not results:
        raise SystemExit("no task is left; the lines above say why")
    columns = list(next(iter(results.values()))["padded_over_real"])
    rows = [
        [
            task,
            f"{found['rows']:,}",
            f"{found['tokens']:,}",
            *(f"{found['padded_over_real'][name]:.3f}" for name in columns),
        ]
        for task, found in results.items()
    ]
    text = table(["padded / real tokens", "rows", "real tokens", *columns], rows)
    setting = {name: Path(value).name if isinstance(value, str) else value for name, value in options.items()}
    write(out, "padding", {"setting": setting, "tasks": results}, text)


if __name__ == "__main__":
    main()
