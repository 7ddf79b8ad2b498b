"""A training step of two hosts on a slow link, over the same on a fast one.

`python -m benchmarks.link --out DIR` makes the hosts of network namespaces (root, Linux), and starts the command line
on each with torchrun: T5 with random weights, one process and one thread per host. What --out has is not measured
again.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.hosts import DEVICE, Cable, TwoHosts, obstacle
from benchmarks.report import machine
from benchmarks.results import MEASURED_WITH, Result, measure_missing, table, write
from benchmarks.sizes import SIZES
from benchmarks.workers.data import DEMO, TASK, TOKENIZER, write_model
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.methods.titles import TITLES
from lit_compacter.runtime.environment import environment

FAST, SLOW = "fast", "slow"
WARM_UP = 2  # steps; DDP arranges its buckets after the first
MAX_LENGTH = 128  # source tokens
REPEATS = 32  # of a premise
MB = 1e6


def measure(name: str, args: argparse.Namespace, setting: Mapping[str, Any]) -> Result:
    """Seconds and bytes of each step, on both links in turn."""
    method = name.partition("/")[2]
    cables = {FAST: None, SLOW: Cable(setting["round_trip_ms"], setting["mbit_per_s"])}
    found: Result = {link: {"seconds": [], "sent_bytes": []} for link in cables}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "model", args.size, TOKENIZER)
        write_long_rows(folder / "data", 2 * args.batch_size * args.steps)
        for number in range(args.rounds):
            for link, cable in cables.items():
                readings = train(method, cable, folder, f"{link}-{number}", args)
                for (began, sent), (ended, then) in pairwise(readings[WARM_UP - 1 :]):
                    found[link]["seconds"].append(ended - began)
                    found[link]["sent_bytes"].append(then - sent)
        metrics = json.loads((folder / "runs" / f"{FAST}-0" / "metrics.json").read_text())
    return found | {"trained": metrics["resources"]["trained_parameters"]}


def write_long_rows(folder: Path, count: int) -> None:
    """Write the first rows of the demo, with premises of more than `MAX_LENGTH` tokens."""
    (folder / TASK).mkdir(parents=True)
    for split in ("train", "dev"):
        with (DEMO / TASK / f"{split}.tsv").open(newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
        lines = [rows[0], *([i, " ".join([premise] * REPEATS), *rest] for i, premise, *rest in rows[1 : count + 1])]
        (folder / TASK / f"{split}.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))


def train(method: str, cable: Cable | None, folder: Path, name: str, args: argparse.Namespace) -> Sequence[Any]:
    """The readings of `StepClock` on the first rank.

    Raises:
        SystemExit: A host failed; its lines are printed.
    """
    clock = {"class_path": "benchmarks.workers.steps.StepClock", "init_args": {"device": DEVICE}}
    options = ["--config=rte.yaml", f"--config=methods/{method}.yaml", "--trainer.accelerator=cpu"]
    options += [f"--model.model_name={folder / 'model'}", "--model.pretrained=false", f"--run_name={name}"]
    options += [f"--data.data_dir={folder / 'data'}", "--data.split=official", f"--data.cache_dir={folder / 'cache'}"]
    options += [f"--data.batch_size={args.batch_size}", f"--data.max_source_length={MAX_LENGTH}"]
    options += ["--trainer.devices=1", "--trainer.num_nodes=2", "--trainer.strategy=ddp"]
    options += [f"--trainer.max_steps={args.steps}", "--trainer.limit_val_batches=0"]
    options += [f"--trainer.default_root_dir={folder / 'runs'}", "--trainer.enable_progress_bar=false"]
    options += [f"--trainer.callbacks={json.dumps([clock])}", "--model.warmup_steps=0"]
    with TwoHosts(cable) as hosts, (folder / "log").open("w") as log:
        processes = [hosts.torchrun(host, "fit", *options, stdout=log, stderr=log) for host in (0, 1)]
        codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"{(folder / 'log').read_text()}\n{method} failed on a host; the lines above say why")
    return json.loads((folder / "runs" / name / "steps-0.json").read_text())  # type: ignore[no-any-return]


def summarize(result: Mapping[str, Any]) -> dict[str, Any]:
    """Median and minimum of a step's seconds, bytes sent by a host in a step, and the speed on the slow link."""
    links = {
        link: {
            "median_s": statistics.median(result[link]["seconds"]),
            "minimum_s": min(result[link]["seconds"]),
            "sent_mb": statistics.median(result[link]["sent_bytes"]) / MB,
        }
        for link in (FAST, SLOW)
    }
    speed = {key: links[FAST][f"{key}_s"] / links[SLOW][f"{key}_s"] for key in ("median", "minimum")}
    return links | {"speed": speed}


def title(name: str) -> str:
    """`T5-base, Compacter` of base/compacter."""
    size, _, method = name.partition("/")
    return f"T5-{size}, {TITLES.get(method, method)}"


def markdown(results: Mapping[str, Result]) -> str:
    """A row for each method, under what was measured."""
    text, rows = "", []
    for name, result in results.items():
        known, found = result[MEASURED_WITH], summarize(result)
        cells = [f"{result['trained']:,}", *(f"{found[link]['sent_mb']:,.2f}" for link in (FAST, SLOW))]
        cells += [f"{found[link][key]:.2f}" for link in (FAST, SLOW) for key in ("median_s", "minimum_s")]
        cells += [f"{found['speed'][key]:.3f}" for key in ("median", "minimum")]
        rows.append([title(name), *cells])
        text += f"{title(name)}: {', '.join(f'{key} {value}' for key, value in known.items())}  \n"
    header = ["", "trained", *(f"sent per step and host, MB, {link}" for link in (FAST, SLOW))]
    header += [f"{link}: {key} of a step, s" for link in (FAST, SLOW) for key in ("median", "minimum")]
    header += [f"speed on the slow link, of {key}s" for key in ("median", "minimum")]
    return f"{table(header, rows)}\n{text}\n{machine()['cpu']}, {machine()['cpus']} CPUs\n"


def draw(results: Mapping[str, Result], path: Path) -> None:
    """Seconds of a step on both links, with the bytes that a host sends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + 1.1 * len(results)), dpi=120)
    axes, names = figure.subplots(), []
    for row, (name, result) in enumerate(results.items()):
        found = summarize(result)
        for place, (link, color) in enumerate({FAST: "0.65", SLOW: "tab:blue"}.items()):
            seconds, height = found[link]["median_s"], row + 0.2 * (2 * place - 1)
            axes.barh(height, seconds, 0.36, color=color, label=link if row == 0 else None)
            text = f" {seconds:.2f} s" + (f" · speed {found['speed']['median']:.3f}" if link == SLOW else "")
            axes.text(seconds, height, text, va="center", fontsize=8)
        names.append(f"{title(name)}\n{found[SLOW]['sent_mb']:,.1f} MB")
    axes.set_yticks(range(len(results)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="median seconds of a training step; below the method: MB that a host sends in it")
    axes.margins(x=0.35)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="link", frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--methods", nargs="+", choices=METHOD_NAMES, default=["compacter", "full"], metavar="NAME")
    parser.add_argument("--size", choices=SIZES, default="base", help="of the T5")
    parser.add_argument("--batch_size", type=int, default=8, help="rows of 128 tokens, on each host")
    parser.add_argument("--steps", type=int, default=8, help=f"of each run; the first {WARM_UP} are not counted")
    parser.add_argument("--rounds", type=int, default=2, help="runs on each link")
    parser.add_argument("--round_trip_ms", type=float, default=20, help="of the slow link")
    parser.add_argument("--mbit_per_s", type=float, default=100, help="of the slow link, in each direction")
    args = parser.parse_args()
    if reason := obstacle():
        sys.exit(f"two hosts on this machine: {reason}")
    shared = ("size", "batch_size", "steps", "rounds", "round_trip_ms", "mbit_per_s")
    setting = {name: getattr(args, name) for name in shared} | {"length": MAX_LENGTH} | environment("cpu")
    path = args.out / "link.json"
    wanted = dict.fromkeys([f"{args.size}/{method}" for method in args.methods], setting)
    results = measure_missing(path, wanted, lambda name: measure(name, args, setting))
    write(args.out, "link", {"methods": results}, markdown(results))
    draw(results, args.out / "link.png")


if __name__ == "__main__":
    main()
