"""Measure the time and memory to prepare a task's training and validation examples, without and with the cache.

`python -m benchmarks.data --task multirc --max_source_length 256 --data_dir DIR --model_name T5_DIR`
"""

import argparse
import resource
import tempfile
import time

import datasets
from rich.console import Console
from rich.table import Table

from lit_compacter.datamodule import GlueDataModule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="multirc")
    parser.add_argument("--data_dir", help="the benchmark's own files; default: the hub")
    parser.add_argument("--model_name", default="google-t5/t5-base", help="the model whose tokenizer is used")
    parser.add_argument("--max_source_length", type=int, default=256)
    options = vars(parser.parse_args())
    datasets.disable_progress_bars()
    table = Table("", "s", "peak memory of the process, GB", title=f"{options['task']}, fit")
    with tempfile.TemporaryDirectory() as cache:
        datasets.config.HF_DATASETS_CACHE = cache
        for name in ("tokenized", "from the cache"):
            data = GlueDataModule(**options)
            started = time.perf_counter()
            data.setup("fit")
            seconds = time.perf_counter() - started
            table.add_row(name, f"{seconds:.1f}", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f}")
        rows = sum(len(rows) for rows in data.data.values())
    Console().print(table, f"{rows:,} examples")


if __name__ == "__main__":
    main()
