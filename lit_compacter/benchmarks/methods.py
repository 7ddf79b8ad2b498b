"""Every method trained on one task: validation scores, training losses and time.

`python -m lit_compacter.benchmarks.methods --out docs/results/mrpc -- --config mrpc.yaml --trainer.max_epochs 3` runs
`main.py fit` for each configs/methods/*.yaml with the options after `--`, and writes methods.json and methods.md.
Started again it runs what is missing.
"""

import argparse
import csv
import json
import shlex
import tempfile
import time
from pathlib import Path

from lit_compacter.benchmarks.results import Result, measure_missing, run, stop_if_missing
from lit_compacter.parsing import CONFIGS, METHOD_NAMES

MAIN = CONFIGS.parent / "main.py"
METHOD_FILE = "methods/NAME.yaml"  # in the command that is told


def fit(name: str, options: list[str]) -> Result:
    """One run: final metrics, and the mean training loss of its first and its last tenth."""
    with tempfile.TemporaryDirectory() as root:
        started = time.perf_counter()
        fixed = [f"--trainer.default_root_dir={root}", "--run_name=run", "--trainer.log_every_n_steps=1"]
        run(str(MAIN), "fit", *with_method(f"methods/{name}.yaml", options), *fixed)
        seconds = time.perf_counter() - started
        folder = Path(root) / "run"
        metrics = json.loads((folder / "metrics.json").read_text())
        with next(folder.glob("logs/fit/csv/version_0/metrics.csv")).open(newline="") as file:
            losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    tenth = max(1, len(losses) // 10)
    first, last = (round(sum(part) / tenth, 4) for part in (losses[:tenth], losses[-tenth:]))
    told = {"first_loss": first, "last_loss": last, "seconds": round(seconds)}
    return metrics | told | {"command": shlex.join(["python", "main.py", "fit", *with_method(METHOD_FILE, options)])}


def with_method(file: str, options: list[str]) -> list[str]:
    """The options with the method's file after their config files, over which it wins, and before what wins over it."""
    configs = [i for i, option in enumerate(options) if option.partition("=")[0] in ("-c", "--config")]
    end = configs[-1] + (1 if "=" in options[configs[-1]] else 2) if configs else 0
    return [*options[:end], "--config", file, *options[end:]]


def markdown(results: dict[str, Result]) -> str:
    """The table, best score first, under the command of each run."""
    names = sorted({key for result in results.values() for key in result if key.startswith("val/")})
    columns = [*names, "first_loss", "last_loss", "seconds"]
    commands = dict.fromkeys(result["command"] for result in results.values())
    lines = [
        f"{', '.join(name for name, result in results.items() if result['command'] == command)}:\n\n    {command}\n"
        for command in commands
    ]
    lines += [f"| method | {' | '.join(columns)} |", "| --- " + "| ---: " * len(columns) + "|"]
    for method, result in sorted(results.items(), key=lambda item: -item[1]["val/score"]):
        lines.append(
            f"| {method} | " + " | ".join(f"{result[name]:g}" if name in result else "" for name in columns) + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--methods", nargs="+", choices=METHOD_NAMES, default=METHOD_NAMES, metavar="NAME")
    parser.add_argument("options", nargs="+", help="options of main.py fit, after --")
    arguments = parser.parse_args()
    path, where = arguments.out / "methods.json", "validation scores of the last epoch"
    results = measure_missing(path, arguments.methods, where, lambda name: fit(name, arguments.options))
    (arguments.out / "methods.md").write_text(markdown(results))
    print(markdown(results))
    stop_if_missing(results, arguments.methods)


if __name__ == "__main__":
    main()
