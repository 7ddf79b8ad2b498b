"""Memory and seconds of `fit` against the number of training rows, and the speed of tokenization.

`python -m benchmarks.rows --rows 100000 400000 --out DIR` writes files of short rows and trains one step on each: first
with an empty cache, then from the cache. Memory is that of all processes of the command together, counted once where
they share it: their own (anonymous), and with the pages of files that they have mapped, which the kernel takes back
when memory is short.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.report import MB, machine
from benchmarks.results import table, write

ENDINGS = ("tea", "a plum", "cats and dogs", "the sea and what lives in it")
SAMPLES_PER_S = 10
KILOBYTE = 1024
BATCH_SIZE = 1000  # rows that the tokenizer gets at once, as in `tokenize_rows`


def write_rows(path: Path, count: int) -> None:
    """Write short labeled rows, unless the file exists."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for row in range(count):
            label, ending = ("no", "yes")[row % 2], ENDINGS[row % len(ENDINGS)]
            file.write(f'{{"text": "row {row} of a large file, about {ending}", "label": "{label}"}}\n')


def command(rows: Path, few: Path, args: argparse.Namespace, cache: Path) -> list[str]:
    """Train one step."""
    options: dict[str, Any] = {
        "data.task": "text2text",
        "data.source": "{text}",
        "data.target": "label",
        "data.labels": '["no", "yes"]',
        "data.train_file": rows,
        "data.validation_file": few,
        "data.num_proc": args.num_proc,
        "data.batch_size": 32,
        "data.cache_dir": cache,
        "model.model_name": args.model_name,
        "model.method": "Compacter",
        "trainer.accelerator": "cpu",
        "trainer.max_steps": 1,
        "trainer.limit_val_batches": 1,
        "trainer.default_root_dir": cache / "runs",
    }
    return [sys.executable, "main.py", "fit", *(f"--{name}={value}" for name, value in options.items())]


def family(process: int) -> Iterator[int]:
    """A process and its descendants."""
    yield process
    with suppress(OSError):
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            yield from family(int(child))


def proportional_bytes(process: int) -> tuple[int, int]:
    """Anonymous memory of a process and its descendants, and all of it; what they share is counted once."""
    anonymous = everything = 0
    for member in family(process):
        with suppress(OSError):  # it has ended
            sizes = dict(line.split(":") for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()[1:])
            anonymous += int(sizes["Pss_Anon"].split()[0]) * KILOBYTE
            everything += int(sizes["Pss"].split()[0]) * KILOBYTE
    return anonymous, everything


def measure(words: list[str]) -> dict[str, float]:
    """Run a command; its seconds, and the peaks of its memory in MB."""
    begin, peaks = time.monotonic(), (0, 0)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        now = proportional_bytes(process.pid)
        peaks = max(peaks[0], now[0]), max(peaks[1], now[1])
        time.sleep(1 / SAMPLES_PER_S)
    if process.returncode:
        raise SystemExit(process.communicate()[1].splitlines()[-1])
    seconds = time.monotonic() - begin
    return {"seconds": seconds, "anonymous_mb": peaks[0] / MB, "with_files_mb": peaks[1] / MB}


def tokens_per_second(rows: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """Of the tokenizer alone in one thread, and of `tokenize_rows`, taking turns."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from lit_compacter.data.columns import numbers
    from lit_compacter.data.tokenization import Encoder, tokenize_rows
    from lit_compacter.datamodule import GlueDataModule

    found: dict[str, list[float]] = {"tokenizer alone, one thread": [], f"data.num_proc {args.num_proc}": []}
    task = {"task": "text2text", "source": "{text}", "target": "label", "train_file": str(rows)}
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory(dir=rows.parent) as cache:
            data = GlueDataModule(**task, model_name=args.tokenizer, cache_dir=cache)
            pairs, tokenizer = data.rows.split("train"), data.tokenizer
            begin, count = time.perf_counter(), 0
            for start in range(0, len(pairs), BATCH_SIZE):
                texts = ["".join(segments) for segments in pairs.table[start : start + BATCH_SIZE]["segments"]]
                count += sum(map(len, tokenizer(texts).input_ids))
            middle = time.perf_counter()
            tokens = tokenize_rows(pairs, Encoder(tokenizer, 128, 8, "train", one_target=True), cache, args.num_proc)
            end = time.perf_counter()
            assert numbers(tokens, "length").sum() == count
            for name, seconds in zip(found, (middle - begin, end - middle), strict=True):
                found[name].append(count / seconds)
    return found


def draw(results: dict[int, dict[str, dict[str, float]]], path: Path) -> None:
    """Memory and seconds against rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=120)
    left, right = figure.subplots(1, 2)
    for start, color in (("empty cache", "tab:blue"), ("from the cache", "tab:orange")):
        millions = [count / 1e6 for count in results]
        points = [found[start] for found in results.values()]
        for name, style, text in (("anonymous_mb", "-", "own"), ("with_files_mb", ":", "with mapped files")):
            left.plot(millions, [p[name] for p in points], style, marker="o", color=color, label=f"{start}, {text}")
        right.plot(millions, [p["seconds"] for p in points], marker="o", color=color, label=start)
    left.set(xlabel="million rows", ylabel="peak memory, MB", ylim=(0, None))
    right.set(xlabel="million rows", ylabel="seconds to the end of the first step", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 400_000])
    parser.add_argument("--num_proc", type=int, default=os.cpu_count())
    parser.add_argument("--model_name", default="data/tiny-t5", help="the model that is trained for a step")
    parser.add_argument("--tokenizer", default="data/tiny-t5", help="whose speed is measured")
    parser.add_argument("--speed_rows", type=int, default=100_000, help="for the speed of tokenization")
    parser.add_argument("--rounds", type=int, default=3, help="of the speed")
    parser.add_argument("--folder", type=Path, default=Path("build/rows"), help="for the files and the cache")
    parser.add_argument("--out", type=Path, help="folder for the results; default: they are only printed")
    args = parser.parse_args()
    files = {count: args.folder / f"{count}.jsonl" for count in sorted(args.rows)}
    results: dict[int, dict[str, dict[str, float]]] = {}
    for count, path in files.items():
        write_rows(path, count)
        cache = args.folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        words = command(path, files[min(files)], args, cache)
        results[count] = {start: measure(words) for start in ("empty cache", "from the cache")}
        shutil.rmtree(cache)
    write_rows(timed := args.folder / f"{args.speed_rows}.jsonl", args.speed_rows)
    speed = tokens_per_second(timed, args)
    header = ["rows", "start", "s to the first step", "own memory, MB", "with mapped files, MB"]
    lines = [
        [f"{count:,}", start, f"{m['seconds']:.1f}", f"{m['anonymous_mb']:,.0f}", f"{m['with_files_mb']:,.0f}"]
        for count, starts in results.items()
        for start, m in starts.items()
    ]
    best = {name: max(rates) for name, rates in speed.items()}
    alone, ours = best.values()
    rates = [[name, f"{rate:,.0f}"] for name, rate in best.items()]
    text = f"{table(header, lines)}\n{table(['', 'tokens/s, best of the rounds'], rates)}\n"
    text += f"{ours / alone / args.num_proc:.2f} × processes × the tokenizer's own speed\n"
    setting = {"num_proc": args.num_proc, "rounds": args.rounds, "speed_rows": args.speed_rows}
    write(args.out, "rows", {"setting": setting, "machine": machine(), "rows": results, "tokens_per_s": speed}, text)
    if args.out:
        draw(results, args.out / "rows.png")


if __name__ == "__main__":
    main()
