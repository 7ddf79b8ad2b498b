"""Host memory in which each process of a run builds its model, with a whole and with a sharded backbone.

`python -m benchmarks.sharded --out DIR` saves a T5 with random weights once, and trains Compacter on it for a few steps
under each strategy, in several processes on this CPU. The memory is above what a process has before it builds the
model; a sharded backbone should need at most 1.2 × (the tensors it holds + the largest block that is gathered).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import OURS, THEIRS, machine
from benchmarks.results import table, write
from benchmarks.sizes import SIZES, t5_config
from benchmarks.workers import start_memory
from lit_compacter.backbones.loading import random_backbone
from lit_compacter.runtime.memory import MB

ROOT = Path(__file__).parents[1]
TOKENIZER = ROOT / "data/tiny-t5"  # whose tokens all sizes have
SLACK = 1.2  # of the bound
BATCH_SIZE = 4  # of each process
CASES = {
    "ddp, float32": ["--trainer.strategy=ddp"],
    "sharded, float32": ["--trainer.strategy=sharded"],
    "ddp, bfloat16": ["--trainer.strategy=ddp", "--model.backbone_dtype=bfloat16"],
    "sharded, bfloat16": ["--trainer.strategy=sharded", "--model.backbone_dtype=bfloat16"],
}
SHARDED = "sharded"
NOTE = f"""The bound is {SLACK} × (the tensors held + the largest block, gathered). With ddp, weights in the type of the
file stay mapped until they are used, and then count in the peak of the run. The last column is what all processes
together caused to be read from the disk until they were ready, over the size of the model's files; none of it was in
the kernel's cache before."""
COLUMNS = {
    "held_mb": "tensors held, MB",
    "ready_mb": "peak until ready, MB",
    "bound_mb": "bound, MB",
    "ready_s": "until ready, s",
    "step_s": "training step, s",
    "peak_mb": "peak of the run, MB",
    "read": "read by all, × the files",
}


def make_model(size: str, folder: Path) -> None:
    """Save a T5 with random weights in several safetensors files, unless the folder has one."""
    if (folder / "config.json").exists():
        return
    shutil.copytree(TOKENIZER, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    random_backbone(t5_config(size)).save_pretrained(folder, max_shard_size="500MB")


def leave_cache(files: list[Path]) -> None:
    """Let the kernel forget what it holds of the files, so that they are read from the disk."""
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(model: Path, options: list[str], processes: int, steps: int) -> dict[str, float]:
    """The most memory and time of the processes of a run.

    Raises:
        SystemExit: The run failed; its last line is printed.
    """
    files = [*model.glob("*.safetensors")]
    leave_cache(files)
    name = f"{start_memory.__name__}.{start_memory.StartMemory.__name__}"
    with tempfile.TemporaryDirectory() as folder:
        callback = json.dumps({"class_path": name, "init_args": {"folder": folder}})
        arguments = ["main.py", "fit", "--config=demo.yaml", *options]
        arguments += ["--trainer.accelerator=cpu", f"--trainer.devices={processes}", f"--trainer.max_steps={steps}"]
        arguments += [f"--data.batch_size={BATCH_SIZE}", "--trainer.limit_val_batches=0", f"--model.model_name={model}"]
        arguments += ["--trainer.enable_progress_bar=false", "--run_name=run"]
        arguments += [f"--trainer.callbacks+={callback}", f"--trainer.default_root_dir={folder}"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        result = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(result.stderr.strip().splitlines()[-1])
        found = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(processes)]
    values = {key: max(one[key] for one in found) for key in found[0] if key not in ("steps_s", "read_mb")}
    values["read"] = sum(one["read_mb"] for one in found) / (sum(path.stat().st_size for path in files) / MB)
    values["step_s"] = max(statistics.median(one["steps_s"]) for one in found)
    return values | {"bound_mb": SLACK * (values["held_mb"] + values["largest_block_mb"])}


def kept(out: Path | None, setting: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The results of a run with the same setting and columns that was stopped."""
    if out is None or not (path := out / "sharded.json").exists():
        return {}
    content = json.loads(path.read_text())
    results: dict[str, dict[str, float]] = content["results"] if content["setting"] == setting else {}
    return {name: values for name, values in results.items() if values.keys() >= COLUMNS.keys()}


def markdown(results: Mapping[str, Mapping[str, float]], setting: Mapping[str, Any]) -> str:
    """The setting and a table."""
    head = ", ".join(f"{key} {value}" for key, value in setting.items())
    rows = []
    for name, values in results.items():
        cells = [f"{values[key]:,.0f}" if key.endswith("_mb") else f"{values[key]:,.2f}" for key in COLUMNS]
        if not name.startswith(SHARDED):
            cells[list(COLUMNS).index("bound_mb")] = ""
        rows.append([name, *cells])
    return f"{head}; {machine()['cpu']}\n\n{table(['per process', *COLUMNS.values()], rows)}\n{NOTE}\n"


def draw(results: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Bars of the peak memory until the model is ready, with the bound of a sharded backbone."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + 0.4 * len(results)), dpi=120)
    axes = figure.add_subplot()
    for row, (name, values) in enumerate(results.items()):
        is_sharded = name.startswith(SHARDED)
        axes.barh(row, values["ready_mb"], color=OURS if is_sharded else THEIRS)
        end = values["bound_mb"] if is_sharded else values["ready_mb"]
        axes.text(end, row, f" {values['ready_mb']:,.0f}", va="center", fontsize=8)
        if is_sharded:
            axes.plot([values["bound_mb"]] * 2, [row - 0.45, row + 0.45], color="tab:red")
    axes.plot([], [], color="tab:red", label=f"{SLACK} × (held + largest block)")
    axes.set_yticks(range(len(results)), list(results), fontsize=9)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("peak host memory of a process until its model is ready, MB", fontsize=9, loc="left")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the table, JSON and chart")
    parser.add_argument("--size", choices=SIZES, default="large")
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--steps", type=int, default=2, help="training steps; the table has their median")
    parser.add_argument("--models", type=Path, default=ROOT / "build/sharded", help="folder that keeps the model")
    args = parser.parse_args()
    folder = args.models / args.size
    make_model(args.size, folder)
    setting = {"size": args.size, "steps": args.steps, "batch_size": BATCH_SIZE, "threads": 1}
    results = kept(args.out, setting)
    for count in args.processes:
        for name, options in CASES.items():
            if (row := f"{name}, {count} processes") not in results:
                results[row] = measure(folder, options, count, args.steps)
            content = {"setting": setting, "machine": machine(), "results": results}
            write(args.out, "sharded", content, markdown(results, setting))  # after each, because it may take long
    if args.out:
        draw(results, args.out / "sharded.png")


if __name__ == "__main__":
    main()
