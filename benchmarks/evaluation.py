"""Measure the peak memory of evaluation for a number of examples and for ten times as many.

`python -m benchmarks.evaluation` runs validate and predict, each in a separate process, on the validation rows of the
demo task, repeated as often as needed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
MAIN = str(ROOT / "main.py")
QUIET = ["--config", "demo.yaml", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2_000, help="number of examples; then ten times as many")
    few = parser.parse_args().examples
    table = Table("examples", "validate, MB", "predict, MB", title="peak memory of the process")
    with tempfile.TemporaryDirectory() as name:
        runs = Path(name) / "runs"
        common = [*QUIET, "--trainer.default_root_dir", str(runs)]
        peak("fit", *common, "--run_name", "fit", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2")
        for count in (few, 10 * few):
            folder = Path(name) / str(count)
            write_rows(folder / "RTE", count)
            options = ["--data.data_dir", str(folder), "--data.split", "official"]
            options += ["--ckpt_path", str(runs / "fit/checkpoints/last.ckpt")]
            for verb in ("validate", "predict"):  # the first run tokenizes them
                peak(verb, *common, *options)
            table.add_row(f"{count:,}", *(f"{peak(verb, *common, *options):.0f}" for verb in ("validate", "predict")))
    Console().print(table)


def write_rows(folder: Path, count: int) -> None:
    """Write dev.tsv and test.tsv with `count` validation rows of the demo task, repeated as needed."""
    header, *rows = (line.split("\t") for line in (ROOT / "data/demo/RTE/dev.tsv").read_text().splitlines())
    lines = [header, *([str(i), *rows[i % len(rows)][1:]] for i in range(count))]
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    (folder / "test.tsv").write_text("".join("\t".join(line[:-1]) + "\n" for line in lines))


def peak(*arguments: str) -> float:
    """Peak resident memory of a command-line run, in MB."""
    process = subprocess.Popen([sys.executable, MAIN, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[0]} failed; the lines above say why")
    return used.ru_maxrss / 1024  # from kB


if __name__ == "__main__":
    main()
