"""What `plan` prints and writes."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lit_compacter.methods import name_of
from lit_compacter.planning.plan import GB, USABLE, Alternative, Plan

PARTS = {
    "weights": "weights",
    "gathered": "frozen weights of other devices, while in use",
    "optimizer": "optimizer (AdamW)",
    "gradients": "gradients",
    "activations": "activations and temporary tensors",
}


def describe(plan: Plan, source: str) -> Iterator[str | Table]:
    """The run as configured, where it fits, and its alternatives.

    Args:
        plan: What was estimated.
        source: Where the model's shape comes from.
    """
    run, found = plan.run, plan.configured
    trained, total = plan.counts
    yield f"{name_of(type(run.method))} on {run.options.model_name} ({source})"
    yield f"{trained:,} of {total:,} parameters trained ({100 * trained / total:.3g} %)"
    yield setting(plan)
    yield memory_table(found)
    if run.devices > 1:
        yield f"each process sends {megabytes(found.bytes_sent)} per optimizer step"
    yield verdict(plan)
    yield alternatives_table(plan)


def setting(plan: Plan) -> str:
    """`batch of 100 × 128 source and 4 target tokens on each of 8 devices, ddp, frozen weights in float32, …`."""
    run, shape = plan.run, plan.run.shape
    devices = f"each of {run.devices} devices, {run.strategy}" if run.devices > 1 else "one device"
    checkpointing = "with" if run.options.gradient_checkpointing else "without"
    return (
        f"batch of {shape.rows} × {shape.source} source and {shape.target} target tokens on {devices}; frozen weights "
        f"in {run.backbone}, precision {run.precision}, {checkpointing} gradient checkpointing"
    )


def memory_table(found: Alternative) -> Table:
    """The parts of a device's memory."""
    table = Table("memory of a device", "GB", title_justify="left")
    table.columns[1].justify = "right"
    for part, title in PARTS.items():
        if size := getattr(found.memory, part):
            table.add_row(title, gigabytes(size))
    table.add_section()
    table.add_row("total at the peak of a training step", gigabytes(found.memory.total), style="bold")
    return table


def verdict(plan: Plan) -> str:
    """Which cards the run fits; if none, the nearest alternative."""
    found, largest = plan.configured, max(plan.cards)
    if fitting := [f"{card:g}" for card in plan.cards if found.fits(card)]:
        return f"fits on cards of {', '.join(fitting)} GB, of which {USABLE:.0%} are used"
    fewer = found.largest_batches[largest]
    advice = [f"batches of {fewer} with --trainer.accumulate_grad_batches"] if fewer else []
    if plan.nearest:
        advice.insert(0, f"{name(plan.nearest)} ({gigabytes(plan.nearest.memory.total)} GB)")
    if not advice:
        smallest = min(plan.alternatives, key=lambda a: a.memory.total)
        advice = [f"{name(smallest)}, which takes {gigabytes(smallest.memory.total)} GB and does not fit either"]
    return f"fits on no card of up to {largest:g} GB; nearest: {', or '.join(advice)}"


def name(found: Alternative) -> str:
    """`sharded, bfloat16, gradient checkpointing`."""
    return ", ".join([found.strategy, found.backbone, *["gradient checkpointing"] * found.checkpointing])


def alternatives_table(plan: Plan) -> Table:
    """All ways to hold the backbone and the activations, the configured one in bold."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))  # with a further card, 80 columns
    for header in ("strategy", "frozen weights", "checkpointing"):
        table.add_column(header)
    for header in ("GB", *(f"{card:g} GB" for card in plan.cards)):
        table.add_column(header, justify="right")
    table.title = f"alternatives: the largest batch that fits on a card (this run: {plan.run.shape.rows})"
    table.title_justify = "left"
    for found in plan.alternatives:
        cells = [found.strategy, found.backbone, "yes" if found.checkpointing else "no"]
        cells += [gigabytes(found.memory.total), *(f"{found.largest_batches[card]:,}" for card in plan.cards)]
        table.add_row(*cells, style="bold" if found is plan.configured else None)
    return table


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, in bytes."""

    def plain(found: Alternative) -> dict[str, Any]:
        fields = dataclasses.asdict(found)
        fields["memory"]["total"] = found.memory.total
        fields["largest_batches"] = {f"{card:g}": rows for card, rows in found.largest_batches.items()}
        fields["fits"] = [card for card in plan.cards if found.fits(card)]
        return fields

    run = plan.run
    return {
        "method": {"name": name_of(type(run.method)), "options": dataclasses.asdict(run.method)},  # type: ignore[call-overload]
        "model_name": run.options.model_name,
        "precision": run.precision,
        "devices": run.devices,
        "batch": dataclasses.asdict(run.shape),
        "accumulate_grad_batches": run.accumulate,
        "trained_parameters": plan.counts[0],
        "parameters": plan.counts[1],
        "configured": plain(plan.configured),
        "alternatives": [plain(found) for found in plan.alternatives],
    }


def gigabytes(size: int) -> str:
    """`1.23`, in GB; three digits, and nothing finer than 0.01."""
    value = size / GB
    if value < 0.01:
        return "< 0.01"
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def megabytes(size: int) -> str:
    """`0.65 MB` or `22.6 GB`."""
    return f"{gigabytes(size)} GB" if size >= GB else f"{size / 1e6:.2f} MB"
