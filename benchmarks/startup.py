"""Time from a command to its answer or its first training step, relative to the imports of the libraries alone.

`python -m benchmarks.startup --out docs/results/startup` runs each command in a process of its own, in interleaved
rounds after one that fills the caches, and writes a table.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback
from rich.progress import track

from benchmarks.results import table
from lit_compacter.runtime.environment import environment
from lit_compacter.utils.atomic import atomic_write

ROOT = Path(__file__).parents[1]
REACHED = "reached at"  # precedes the time in a line of a command's output
IMPORTS = "imports alone"
PROCESS = "imports alone, to the end of the process"
FIRST_STEP = "first training step"
CODE = f"""
import torch, pytorch_lightning, transformers
from transformers import T5ForConditionalGeneration, AutoTokenizer
import time
print("{REACHED}", time.time())
"""


class FirstStep(Callback):
    """Prints the time at the end of each training step."""

    def on_train_batch_end(self, *_: Any) -> None:
        print(REACHED, time.time(), flush=True)


def commands(options: argparse.Namespace, folder: str) -> dict[str, list[str]]:
    """Name → arguments of Python.

    Args:
        options: The model and the data of the training step.
        folder: For runs and tokenized rows.
    """
    fit = ["main.py", "fit", "--config", "demo.yaml"]
    values = {
        "data.task": options.task,
        "data.data_dir": options.data_dir,
        "data.cache_dir": f"{folder}/cache",
        "model.model_name": options.model_name,
        "trainer.accelerator": "cpu",
        "trainer.max_steps": 1,
        "trainer.callbacks": "benchmarks.startup.FirstStep",
        "trainer.default_root_dir": f"{folder}/runs",
    }
    return {
        IMPORTS: ["-c", CODE],
        "--help": ["main.py", "--help"],
        "unknown verb": ["main.py", "fti"],
        "wrong option": [*fit, "--trainer.max_epoch", "1"],
        "fit --help": ["main.py", "fit", "--help"],
        "study --help": ["main.py", "study", "--help"],
        "report --help": ["main.py", "report", "--help"],
        FIRST_STEP: [*fit, *(f"--{name}={value}" for name, value in values.items())],
    }


def seconds(command: Sequence[str]) -> tuple[float, float]:
    """Time from the start of a process to the time that it prints, or else to its end; and to its end."""
    started = time.time()
    result = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    ended = time.time()
    if result.returncode not in (0, 2):  # 2: a mistake of the user
        raise SystemExit(f"{' '.join(command)} failed: {result.stderr}")
    reached = [float(line.removeprefix(REACHED)) for line in result.stdout.splitlines() if line.startswith(REACHED)]
    return (reached[0] if reached else ended) - started, ended - started


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Command → seconds of each round."""
    with tempfile.TemporaryDirectory() as folder:
        started = commands(options, folder)
        times: dict[str, list[float]] = {name: [] for name in (IMPORTS, PROCESS, *started)}
        for number in track(range(options.rounds + 1), description="measuring"):
            for name, command in started.items():
                reached, ended = seconds(command)
                if number > 0:  # the first round compiles the modules and tokenizes the rows
                    times[name].append(reached)
                    if name == IMPORTS:
                        times[PROCESS].append(ended)
    return times


def ratios(times: Sequence[float], imports: Sequence[float]) -> dict[str, Any]:
    """Ratios of the minima and of the medians, and the lowest and highest ratio within a round."""
    by_round = [time / alone for time, alone in zip(times, imports, strict=True)]
    return {
        "of_minima": min(times) / min(imports),
        "of_medians": statistics.median(times) / statistics.median(imports),
        "by_round": [min(by_round), max(by_round)],
    }


def report(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    setting, rows = results["setting"], []
    for name, times in results["seconds"].items():
        ratio = results["ratios"][name]
        lowest, highest = ratio["by_round"]
        rows.append(
            (
                f"`{name}`" if name.endswith("--help") else name,
                f"{min(times):.2f}",
                f"{statistics.median(times):.2f}",
                f"{max(times):.2f}",
                f"{ratio['of_minima']:.2f}",
                f"{ratio['of_medians']:.2f}",
                f"{lowest:.2f}–{highest:.2f}",
            )
        )
    header = ("", "s, minimum", "median", "maximum", "ratio of minima", "of medians", "by round")
    known = setting["environment"]
    libraries = ", ".join(f"{name} {value}" for name, value in known.items() if name != "machine")
    return f"""# Start-up

Seconds from the command to the end of its process, or to the end of its first training step with cached data, relative
to the imports of PyTorch, Lightning and Transformers (T5 and AutoTokenizer) alone: to a whole process that only imports
them or, for the training step, to the end of the imports. {setting["rounds"]} interleaved rounds;
task {setting["task"]}, {setting["model_name"]}; {known["machine"]}; {libraries}.

{table(header, rows)}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="folder for the results; default: they are only printed")
    parser.add_argument("--model_name", default=str(ROOT / "data/tiny-t5"), help="hub name or folder of the backbone")
    parser.add_argument("--data_dir", default=str(ROOT / "data/demo"), help="folder with the benchmark's own files")
    parser.add_argument("--task", default="rte")
    options = parser.parse_args()
    times = measure(options)
    used = environment("cpu") | {"pytorch_lightning": version("pytorch_lightning")}
    setting = {"task": options.task, "model_name": Path(options.model_name).name, "rounds": options.rounds}
    results = {
        "setting": setting | {"environment": used},
        "seconds": times,
        "ratios": {  # of what ends with the process, to a process
            name: ratios(values, times[IMPORTS if name in (IMPORTS, FIRST_STEP) else PROCESS])
            for name, values in times.items()
        },
    }
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        with atomic_write(options.out / "startup.json") as temporary:
            temporary.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
        (options.out / "startup.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
