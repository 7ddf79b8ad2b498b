"""What `main.py plan` estimates against what training takes.

`python -m benchmarks.plan --out DIR` measures each combination in a process of its own, one at a time, on T5 with
random weights, and writes plan.json, plan.md and plan.png. A rerun measures only what is missing. `--redraw` rewrites
plan.md and plan.png from plan.json, with the present estimates.
"""

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import MEASURED_WITH, Result, load_all, measure_missing, place, stop_if_missing, table, write
from benchmarks.sizes import SIZES, t5_config
from lit_compacter.cli.defaults import load_method
from lit_compacter.methods.titles import TITLES
from lit_compacter.model_options import ModelOptions
from lit_compacter.planning.plan import Estimate, Run
from lit_compacter.planning.trace import BatchShape
from lit_compacter.runtime.environment import environment

METHODS = ("full", "compacter")
BACKBONES = ("float32", "bfloat16")
SHAPES = ((4, 64, 8), (2, 256, 32))
MB = 10**6
# glibc returns each freed block of 64 kB to the system, so that the resident memory is that of the tensors that live,
# as with a GPU's allocator, and no gaps are counted that small tensors leave.
RETURN_FREED_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}
LIMIT = 0.15  # of the relative error


@dataclass(frozen=True)
class Setting:
    """One combination."""

    size: str
    method: str
    backbone: str
    checkpointing: bool
    shape: tuple[int, int, int]

    @property
    def name(self) -> str:
        return " ".join(map(str, vars(self).values()))

    def estimate(self) -> int:
        """Bytes on a CPU."""
        options = ModelOptions(
            backbone_dtype=self.backbone,  # type: ignore[arg-type]
            gradient_checkpointing=self.checkpointing,
        )
        config, method = t5_config(self.size), load_method(self.method)
        return Estimate(Run(config, method, options, shape=BatchShape(*self.shape), on_gpu=False)).memory("ddp").total


class Worker:
    """A process that measures settings, each in a copy of itself."""

    def __enter__(self) -> "Worker":
        command = [sys.executable, "-m", "benchmarks.workers.memory"]
        env = os.environ | RETURN_FREED_BLOCKS
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        return self

    def measure(self, setting: Setting) -> Result:
        """Train, and estimate.

        Raises:
            CalledProcessError: Training failed.
        """
        assert self.process.stdin and self.process.stdout
        print(json.dumps(vars(setting)), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise subprocess.CalledProcessError(1, setting.name, stderr=answer["error"])
        return {"measured": answer["bytes"], "estimated": setting.estimate()}

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def settings(sizes: list[str]) -> Iterator[Setting]:
    for values in itertools.product(sizes, METHODS, BACKBONES, (False, True), SHAPES):
        yield Setting(*values)


def error(result: Mapping[str, Any]) -> float:
    """Relative error of the estimate."""
    return float(result["estimated"] / result["measured"] - 1)


def markdown(results: Mapping[str, Result]) -> str:
    """A row for each combination, with the relative error."""
    rows = []
    for setting in settings(list(SIZES)):
        if (result := results.get(setting.name)) is None:
            continue
        cells = [f"T5-{setting.size}", TITLES[setting.method], setting.backbone]
        cells += ["yes" if setting.checkpointing else "no", "{} × {} and {}".format(*setting.shape)]
        rows.append(
            [*cells, *(f"{result[key] / MB:,.0f}" for key in ("measured", "estimated")), f"{error(result):+.1%}"]
        )
    errors = sorted(abs(error(result)) for result in results.values())
    header = ["model", "method", "frozen weights", "checkpointing", "batch: source and target tokens"]
    said = f"Largest error {errors[-1]:.1%}, median {errors[len(errors) // 2]:.1%}, of {len(errors)} combinations.\n\n"
    text = table([*header, "measured, MB", "estimated, MB", "error"], rows)
    return said + place(next(iter(results.values()))) + text


def draw(results: Mapping[str, Result], path: Path) -> None:
    """Estimated against measured, with the limits of the error."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), dpi=120)
    axes = figure.subplots()
    measured = [result["measured"] / MB for result in results.values()]
    ends = [min(measured) / 1.3, max(measured) * 1.3]
    axes.plot(ends, ends, color="0.5", linewidth=0.8)
    axes.fill_between(
        ends, [(1 - LIMIT) * x for x in ends], [(1 + LIMIT) * x for x in ends], color="0.92", label=f"± {LIMIT:.0%}"
    )
    for method, marker in zip(METHODS, "so", strict=True):
        chosen = [result for result in results.values() if result[MEASURED_WITH]["method"] == method]
        x, y = ([result[key] / MB for result in chosen] for key in ("measured", "estimated"))
        axes.scatter(x, y, marker=marker, s=22, alpha=0.7, label=TITLES[method])
    axes.set(xscale="log", yscale="log", xlabel="measured, MB", ylabel="estimated, MB", xlim=ends, ylim=ends)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["small", "base", "large"])
    parser.add_argument("--redraw", action="store_true", help="rewrite the table and the figure without measuring")
    args = parser.parse_args()
    path = args.out / "plan.json"
    wanted = {setting.name: setting for setting in settings(args.sizes)}
    if args.redraw:
        results, wanted = load_all(path), {}
        for result in results.values():
            known = {field.name: result[MEASURED_WITH][field.name] for field in dataclasses.fields(Setting)}
            result["estimated"] = Setting(**known).estimate()
    else:
        depends = {name: vars(setting) | environment("cpu") for name, setting in wanted.items()}
        with Worker() as worker:
            results = measure_missing(path, depends, lambda name: worker.measure(wanted[name]))
    write(args.out, "plan", {"methods": results}, markdown(results))
    draw(results, args.out / "plan.png")
    stop_if_missing(results, wanted)


if __name__ == "__main__":
    main()
