"""The paper's section 5.5: parameters, checkpoint, memory and time of every method, relative to full fine-tuning.

`python -m benchmarks.efficiency --out results/efficiency` measures each configs/methods/*.yaml in a separate process,
on T5-base with random weights, and writes efficiency.json, efficiency.md and efficiency.png to that folder. A rerun
measures only what is missing. If options, versions or the machine differ, it reports the differences and stops.
`--redraw` rewrites efficiency.md and efficiency.png from efficiency.json.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

from benchmarks.figure import draw
from benchmarks.results import (
    MEASURED_WITH,
    METHOD,
    Result,
    add_arguments,
    content,
    group_comparable,
    load_all,
    measure_missing,
    place,
    run,
    stop_if_missing,
    table,
)
from benchmarks.sizes import T5_BASE
from benchmarks.workers.serve import peak_memory
from lit_compacter.backbones.loading import load_backbone
from lit_compacter.checkpoints.format import names_to_save, tensors
from lit_compacter.cli.defaults import load_method
from lit_compacter.methods.titles import TITLES
from lit_compacter.runtime.environment import environment

REFERENCE = "full"
RELATIVE = ("memory_mb", "seconds")


def measure(name: str, options: argparse.Namespace) -> Result:
    """Train a few steps with a method. The first step is a warm-up."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    model = random_t5(options.model_name)
    base, whole = tensors(model), model.num_parameters()
    load_method(name).apply(model)
    saved = names_to_save(model, base)
    model.to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    shape = (options.batch_size, options.length)
    words = model.config.vocab_size
    batch = {"input_ids": torch.randint(2, words, shape, device=device)}
    batch |= {"attention_mask": torch.ones(shape, dtype=torch.long, device=device)}
    batch |= {"labels": torch.randint(2, words, (options.batch_size, 2), device=device)}
    seconds = []
    for _ in range(options.steps + 1):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    count = sum(parameter.numel() for parameter in trained)
    return {
        "trained": count,
        "percent": 100 * count / whole,
        "checkpoint_bytes": checkpoint_bytes(model, saved),
        "memory_mb": round(peak_memory(device.type) / 2**20),
        "seconds": round(statistics.median(seconds[1:]), 4),
    }


def method_options(name: str) -> dict[str, Any]:
    """The class and the options of a method."""
    method: Any = load_method(name)
    return {"class": type(method).__name__} | dataclasses.asdict(method)


def random_t5(name: str | None) -> T5ForConditionalGeneration:
    """A T5 with random weights and the sizes of a model folder; by default those of T5-base."""
    if name is None:
        return AutoModelForSeq2SeqLM.from_config(T5Config(**T5_BASE, decoder_start_token_id=0))
    return load_backbone(name, pretrained=False)


def checkpoint_bytes(model: torch.nn.Module, saved: set[str]) -> int:
    """Size of a file with the tensors that the method saves, without optimizer state."""
    state = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items() if name in saved
    }
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        save_file(state, file.name)
        return Path(file.name).stat().st_size


def measured_with(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What the result of a method depends on: its options, the model's sizes, the steps, versions and machine."""
    shape = {key: getattr(options, key) for key in ("batch_size", "length", "steps")}
    of_model = {
        "model": options.model_name or "T5-base, random weights",
        "sizes": content(str(Path(options.model_name) / "config.json")) if options.model_name else T5_BASE,
        "precision": "bf16 autocast" if options.bf16 else "fp32",
    }
    return {METHOD: method_options(name)} | of_model | shape | environment(options.device)


def markdown(results: Mapping[str, Result]) -> str:
    """One table per measurement setup, the smallest method first."""
    return "\n".join(_section(group) for group in group_comparable(results))


def _section(group: Mapping[str, Result]) -> str:
    full = group.get(REFERENCE)
    header = ("method", "trained", "%", "checkpoint, MB", "peak memory, MB", "relative", "step, s", "relative")
    rows = []
    for name, result in sorted(group.items(), key=lambda item: item[1]["trained"]):
        share = [f"{result[key] / full[key]:.2f}" if full else "" for key in RELATIVE]
        cells = [TITLES.get(name, name), f"{result['trained']:,}", f"{result['percent']:.3f}"]
        cells += [f"{result['checkpoint_bytes'] / 1e6:.2f}", f"{result['memory_mb']:,}", share[0]]
        rows.append([*cells, f"{result['seconds']:.3f}", share[1]])
    first = next(iter(group.values()))
    how = "{model}, {precision}, batch {batch_size} × {length}, median of {steps} steps; ".format(
        **first[MEASURED_WITH]
    )
    return how + place(first) + table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--model_name", help="a model folder whose sizes are used; default: T5-base")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action="store_true", help="under bf16 autocast")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--length", type=int, default=128, help="source tokens")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one warm-up step")
    parser.add_argument("--scores", type=Path, help="methods.json of benchmarks.methods, with scores for the figure")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # internal: measure one method in this process
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    path, names = options.out / "efficiency.json", options.methods
    if options.redraw:
        results, names = load_all(path), []
    else:
        module = ("-m", "benchmarks.efficiency", *sys.argv[1:], "--measure")
        wanted = {name: measured_with(name, options) for name in names}
        results = measure_missing(path, wanted, lambda name: json.loads(run(*module, name).splitlines()[-1]))
    scored = json.loads(options.scores.read_text())["methods"] if options.scores else {}
    scores = {name: result["val/score"] for name, result in scored.items()}
    (options.out / "efficiency.md").write_text(markdown(results))
    for largest in group_comparable(results)[:1]:
        draw(largest, scores, options.out / "efficiency.png")
    print(markdown(results))
    stop_if_missing(results, names)


if __name__ == "__main__":
    main()
