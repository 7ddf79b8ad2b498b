"""The paper's section 5.5: trained numbers, checkpoint, memory and time of every method, relative to full fine-tuning.

`python -m lit_compacter.benchmarks.efficiency --out results/efficiency` measures each configs/methods/*.yaml in a
process of its own, on T5-base with random weights, and writes efficiency.json, efficiency.md and efficiency.png in that
folder. Started again it measures what is missing.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration
from transformers import __version__ as transformers_version

from lit_compacter.backbone import load_backbone
from lit_compacter.benchmarks.results import Result, measure_missing, run, stop_if_missing
from lit_compacter.checkpoint import names_to_save, tensors
from lit_compacter.parsing import METHOD_NAMES, load_method

T5_BASE = {"vocab_size": 32_128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
REFERENCE = "full"
RELATIVE = ("memory_mb", "seconds")


def measure(name: str, options: argparse.Namespace) -> Result:
    """Train a few steps with a method; the first one warms up."""
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
        "memory_mb": round(peak_memory(device) / 2**20),
        "seconds": round(statistics.median(seconds[1:]), 4),
    }


def random_t5(name: str | None) -> T5ForConditionalGeneration:
    """A T5 with random weights, of a model folder's sizes; by default T5-base."""
    if name is None:
        return AutoModelForSeq2SeqLM.from_config(T5Config(**T5_BASE, decoder_start_token_id=0))
    return load_backbone(name, pretrained=False)


def checkpoint_bytes(model: torch.nn.Module, saved: set[str]) -> int:
    """Size of a file with what the method saves, without the optimizer's state."""
    state = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items() if name in saved
    }
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        save_file(state, file.name)
        return Path(file.name).stat().st_size


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device's allocator, or resident in this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine(options: argparse.Namespace) -> str:
    """Where and how this was measured."""
    where = (
        torch.cuda.get_device_name()
        if options.device == "cuda"
        else f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    )
    precision = "bf16 autocast" if options.bf16 else "fp32"
    versions = f"torch {torch.__version__}, transformers {transformers_version}, Python {platform.python_version()}"
    model = options.model_name or "T5-base, random weights"
    steps = f"batch {options.batch_size} × {options.length}, median of {options.steps} steps"
    return f"{model}; {where}, {precision}, {steps}; {versions}"


def markdown(results: dict[str, Result], where: str) -> str:
    """The table, smallest first."""
    full = results.get(REFERENCE)
    lines = [where, "", "| method | trained | % | checkpoint | peak memory, MB | relative | step, s | relative |"]
    lines.append("| --- " + "| ---: " * 7 + "|")
    for name, result in sorted(results.items(), key=lambda item: item[1]["trained"]):
        share = [f"{result[key] / full[key]:.2f}" if full else "" for key in RELATIVE]
        size = f"{result['checkpoint_bytes'] / 1e6:.2f} MB"
        cells = [name, f"{result['trained']:,}", f"{result['percent']:.3f}", size]
        cells += [f"{result['memory_mb']:,}", share[0], f"{result['seconds']:.3f}", share[1]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Result], scores: dict[str, float], path: Path) -> None:
    """The paper's figure 1: score (or time per step, where none is given) over trained share, area is memory."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for name, result in results.items():
        height = scores.get(name) if scores else result["seconds"]
        if height is None:
            continue
        axes.scatter(result["percent"], height, s=result["memory_mb"] / 10, alpha=0.5)
        axes.annotate(name, (result["percent"], height), fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("trained, % of the backbone")
    axes.set_ylabel("score" if scores else "seconds per step")
    axes.set_title("area: peak memory")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--methods", nargs="+", choices=METHOD_NAMES, default=METHOD_NAMES, metavar="NAME")
    parser.add_argument("--model_name", help="a model folder whose sizes are used; default: T5-base")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action="store_true", help="under bf16 autocast")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--length", type=int, default=128, help="source tokens")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one that warms up")
    parser.add_argument(
        "--scores", type=Path, help="methods.json of lit_compacter.benchmarks.methods: the figure's scores"
    )
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # how a process of its own is asked for one method
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    path, where = options.out / "efficiency.json", machine(options)
    module = ("-m", "lit_compacter.benchmarks.efficiency", *sys.argv[1:], "--measure")
    results = measure_missing(
        path, options.methods, where, lambda name: json.loads(run(*module, name).splitlines()[-1])
    )
    scored = json.loads(options.scores.read_text())["methods"] if options.scores else {}
    scores = {name: result["val/score"] for name, result in scored.items()}
    (options.out / "efficiency.md").write_text(markdown(results, where))
    draw(results, scores, options.out / "efficiency.png")
    print(markdown(results, where))
    stop_if_missing(results, options.methods)


if __name__ == "__main__":
    main()
