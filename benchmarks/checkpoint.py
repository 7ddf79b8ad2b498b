"""Size of the checkpoint to resume from: over 12 bytes for each trained parameter, its value and AdamW's two moments.

`python -m benchmarks.checkpoint` trains T5-base with random weights for one step with each method, with the command
line, and reads the size of last.ckpt.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.compare import ROOT
from benchmarks.results import run, table, write
from benchmarks.sizes import SIZES
from benchmarks.workers.data import DEMO, TOKENIZER, write_model
from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.checkpoints.paths import CHECKPOINTS, LAST
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.methods.titles import TITLES
from lit_compacter.runtime.environment import environment

IDEAL_BYTES = 12  # float32: value, mean and variance of the gradient


def measure(method: str, model: Path, folder: Path) -> dict[str, float]:
    """Train for one step and read what the checkpoint holds."""
    options = ["--config", f"methods/{method}.yaml", "--model.model_name", str(model), "--model.pretrained", "false"]
    options += [
        "--data.task",
        "rte",
        "--data.data_dir",
        str(DEMO),
        "--data.batch_size",
        "2",
        "--data.max_source_length",
        "16",
    ]
    options += ["--trainer.max_steps", "1", "--trainer.accelerator", "cpu", "--trainer.limit_val_batches", "1"]
    options += ["--trainer.default_root_dir", str(folder), "--run_name", method, "--model.warmup_steps", "0"]
    run(str(ROOT / "main.py"), "fit", *options)
    path = folder / method / CHECKPOINTS / LAST
    checkpoint = read_checkpoint(path)
    groups = checkpoint["optimizer_states"][0]["state"].values()
    trained = sum(state["exp_avg"].numel() for state in groups)
    size = path.stat().st_size
    path.unlink()
    path.with_name("best.ckpt").unlink(missing_ok=True)
    return {"trained": trained, "bytes": size, "over_ideal": size / (IDEAL_BYTES * trained)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHOD_NAMES, default=METHOD_NAMES, metavar="NAME")
    parser.add_argument("--size", choices=SIZES, default="base", help="of the T5")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="folder of a T5's tokenizer")
    parser.add_argument("--out", type=Path, help="folder for the results; default: they are only printed")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        model = write_model(Path(temporary) / "model", args.size, args.tokenizer)
        for name in track(args.methods, description="one step"):
            try:
                results[name] = measure(name, model, Path(temporary))
            except subprocess.CalledProcessError as error:
                print(f"{name} failed: {(error.stderr.strip().splitlines() or [error.returncode])[-1]}")
    rows = [
        (TITLES[name], f"{found['trained']:,}", f"{found['bytes']:,}", f"{found['over_ideal']:.3f}")
        for name, found in sorted(results.items(), key=lambda item: item[1]["trained"])
    ]
    text = table(("last.ckpt", "trained", "bytes", f"over {IDEAL_BYTES} bytes each"), rows)
    write(args.out, "checkpoint", {"size": args.size, "environment": environment("cpu"), "methods": results}, text)
    if missing := [name for name in args.methods if name not in results]:
        raise SystemExit(f"not measured: {', '.join(missing)}; the lines above say why")


if __name__ == "__main__":
    main()
