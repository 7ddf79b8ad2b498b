"""Many adapters on one backbone: one pass over a mixed batch, against one pass for each adapter.

`python -m benchmarks.adapters --model_name T5_DIR --out docs/results/adapters` measures batches whose rows use 1, 8, …
different adapters, and writes a table and a plot. It also measures the memory for an adapter of T5-base and the time to
switch to it.
"""

import argparse
import gc
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from rich.progress import track
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

from benchmarks.ours import PROBE, add_random_adapters
from benchmarks.sizes import T5_BASE
from lit_compacter import Compacter, delete_adapter, save_adapter, set_adapter, use_adapters
from lit_compacter.runtime.environment import environment
from lit_compacter.utils.atomic import atomic_write


def resident_bytes() -> int:
    """Memory of this process (Linux)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@torch.no_grad()
def measure_batches(
    model: T5ForConditionalGeneration, counts: list[int], rows: int, length: int, new_tokens: int, rounds: int
) -> list[dict[str, float]]:
    """Rows per second of a mixed batch and of one batch for each adapter, in interleaved rounds.

    Args:
        model: With adapters named 0, 1, ….
        counts: Numbers of different adapters in a batch. Batches have as many rows at least.
        rows: Rows of a batch.
        length: Source tokens.
        new_tokens: Generated tokens.
        rounds: Timed rounds.
    """
    options = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False, "num_beams": 1}
    results = []
    for count in counts:
        size = max(rows, count)
        ids = torch.randint(2, 1000, (size, length))
        names = [str(number % count) for number in range(size)]

        def mixed(ids: torch.Tensor = ids, names: list[str] = names) -> torch.Tensor:
            with use_adapters(model, names):
                return model.generate(input_ids=ids, **options)

        def one_by_one(ids: torch.Tensor = ids, count: int = count) -> None:
            for number in range(count):
                set_adapter(model, str(number))
                model.generate(input_ids=ids[number::count], **options)

        times: dict[str, list[float]] = {"mixed": [], "one_by_one": []}
        for round_ in track(range(rounds + 1), description=f"{count} adapters, {size} rows"):
            for name, run in (("mixed", mixed), ("one_by_one", one_by_one)):
                elapsed = seconds(run)
                if round_ > 0:  # the first one warms up
                    times[name].append(elapsed)
        median, best = ({name: choose(values) for name, values in times.items()} for choose in (statistics.median, min))
        results.append(
            {"adapters": count, "rows": size}
            | {f"{name}_rows_per_s": size / value for name, value in median.items()}
            | {
                "speedup_of_medians": median["one_by_one"] / median["mixed"],
                "speedup_of_minima": best["one_by_one"] / best["mixed"],
            }
        )
    return results


def measure_memory(count: int, folder: Path) -> dict[str, float]:
    """Memory for an adapter relative to its file, and milliseconds to switch, on T5-base with Compacter."""
    model = T5ForConditionalGeneration(T5Config(**T5_BASE, decoder_start_token_id=0)).eval()
    add_random_adapters(model, 1, Compacter())
    save_adapter(model, folder, "0")
    file_size = (folder / "adapter_model.safetensors").stat().st_size
    delete_adapter(model, "0")
    before = resident_bytes()
    add_random_adapters(model, count, Compacter())
    memory = (resident_bytes() - before) / count
    times = [seconds(lambda name=str(number): set_adapter(model, name)) for number in range(count)]  # type: ignore[misc]
    return {
        "adapters": count,
        "file_bytes": file_size,
        "memory_over_file": memory / file_size,
        "switch_ms_median": 1000 * statistics.median(times),
        "switch_ms_min": 1000 * min(times),
    }


def table(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    setting, memory = results["setting"], results["memory"]
    rows = "".join(
        f"| {r['adapters']:,} | {r['rows']:,} | {r['mixed_rows_per_s']:.0f} | {r['one_by_one_rows_per_s']:.0f} | "
        f"{r['speedup_of_medians']:.2f} | {r['speedup_of_minima']:.2f} |\n"
        for r in results["batches"]
    )
    return f"""# Many adapters on one backbone

Generation with Compacter adapters: one pass over a batch whose rows use different adapters (`use_adapters`), against
one pass for each adapter (`set_adapter`). {setting["length"]} source tokens, {setting["new_tokens"]} new tokens,
{setting["model_name"]}; {setting["environment"]["machine"]}; medians of {setting["rounds"]} interleaved rounds.

| adapters in a batch | rows | rows/s, mixed | rows/s, one by one | speedup, medians | speedup, minima |
| --- | --- | --- | --- | --- | --- |
{rows}
![rows per second by number of adapters](adapters.png)

{memory["adapters"]:,} adapters of T5-base on one backbone take {memory["memory_over_file"]:.2f} times the size of their
files ({memory["file_bytes"]:,} bytes each). Switching takes {memory["switch_ms_median"]:.2f} ms (median; the minimum is
{memory["switch_ms_min"]:.2f} ms).
"""


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Rows per second against the number of adapters in a batch."""
    figure, axes = plt.subplots(figsize=(6, 4))
    counts = [result["adapters"] for result in results["batches"]]
    for key, label in (("mixed", "one pass over a mixed batch"), ("one_by_one", "one pass for each adapter")):
        axes.plot(counts, [result[f"{key}_rows_per_s"] for result in results["batches"]], marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="different adapters in a batch", ylabel="rows per second")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_name", required=True, help="hub name or folder of the backbone")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 8, 64, 1000], help="adapters in a batch")
    parser.add_argument("--rows", type=int, default=32, help="rows of a batch, at least as many as adapters")
    parser.add_argument("--length", type=int, default=32, help="source tokens")
    parser.add_argument("--new_tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base_adapters", type=int, default=1000, help="adapters of T5-base for memory and switching")
    args = parser.parse_args()
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    memory = measure_memory(args.base_adapters, args.out / PROBE)
    for path in (args.out / PROBE).iterdir():
        path.unlink()
    (args.out / PROBE).rmdir()
    model = AutoModelForSeq2SeqLM.from_pretrained(args.model_name).eval()
    add_random_adapters(model, max(args.counts), Compacter(reduction_factor=8))
    batches = measure_batches(model, args.counts, args.rows, args.length, args.new_tokens, args.rounds)
    setting = {"model_name": Path(args.model_name).name, "rounds": args.rounds}
    setting |= {"length": args.length, "new_tokens": args.new_tokens, "environment": environment("cpu")}
    results = {"setting": setting, "memory": memory, "batches": batches}
    with atomic_write(args.out / "adapters.json") as temporary:
        temporary.write_text(json.dumps(results, indent=2) + "\n")
    (args.out / "adapters.md").write_text(table(results))
    draw(results, args.out / "adapters.png")
    print(table(results))


if __name__ == "__main__":
    main()
