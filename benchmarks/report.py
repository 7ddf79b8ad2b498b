"""What a comparison writes: a table, JSON with the environment, and a bar chart."""

import argparse
import dataclasses
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import Contestant, Outcome, Result, choose, compete
from benchmarks.results import table, write

MB = 2**20
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_fp16")  # what decides how fast bf16 is
OURS, THEIRS = "tab:blue", "0.65"


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of the timed rounds of one part of the work."""

    minimum: float
    median: float
    lower_quartile: float
    upper_quartile: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        ends = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [*seconds] * 3
        return cls(min(seconds), statistics.median(seconds), ends[0], ends[2])


def run(
    name: str,
    contestants: Sequence[Contestant],
    setting: Mapping[str, Any],
    references: Sequence[str],
    args: argparse.Namespace,
) -> None:
    """Compare the contestants, print the table, and write NAME.json, NAME.md and NAME.png to `args.out`.

    Args:
        name: The benchmark's name.
        contestants: Those to choose from.
        setting: What all contestants do, for the JSON and the table's head.
        references: Contestants that the others are divided by.
        args: The options of `compare.add_arguments` and `compare.add_choice`.

    Raises:
        SystemExit: A contestant failed, or none is left.
    """
    outcome = compete(choose(contestants, args.contestants), args.rounds, args.warm_up, args.threads, args.peers)
    setting = {**setting, "rounds": args.rounds, "warm_up": args.warm_up, "threads": args.threads}
    references = [reference for reference in references if reference in outcome.results]
    text = markdown(outcome.results, setting, references)
    write(args.out, name, as_json(name, outcome, setting, references), text)
    if args.out and outcome.results:
        ours = {contestant.name for contestant in contestants if contestant.is_ours}
        draw(outcome.results, references, ours, args.out / f"{name}.png")
    if outcome.failed or not outcome.results:
        raise SystemExit(f"not measured: {', '.join(outcome.failed) or 'anything'}; the lines above say why")


def machine() -> dict[str, Any]:
    """The machine that the workers ran on."""
    description, path = {"system": platform.platform(), "cpus": os.cpu_count()}, Path("/proc/cpuinfo")
    info = dict(_fields(path.read_text())) if path.exists() else {}
    flags = info.get("flags", "").split()
    return description | {
        "cpu": info.get("model name", platform.processor()),
        **{flag: flag in flags for flag in CPU_FLAGS},
    }


def _fields(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in text.splitlines())
    return [(key.strip(), value.strip()) for key, colon, value in pairs if colon]


def ratios(results: Mapping[str, Result], name: str, reference: str) -> dict[str, dict[str, float]]:
    """Part → ratio of minima and of medians over the reference; and the ratio of peak memory."""
    one, other = results[name], results[reference]
    found: dict[str, dict[str, float]] = {}
    for part, seconds in one.seconds.items():
        if part not in other.seconds:
            continue
        mine, theirs = Times.of(seconds), Times.of(other.seconds[part])
        found[part] = {"of_minima": mine.minimum / theirs.minimum, "of_medians": mine.median / theirs.median}
    return found | {"peak_bytes": {"ratio": one.peak_bytes / other.peak_bytes}}


def as_json(name: str, outcome: Outcome, setting: Mapping[str, Any], references: Sequence[str]) -> dict[str, Any]:
    """Everything that was measured, and where."""
    entries = {}
    for contestant, result in outcome.results.items():
        summary = {part: dataclasses.asdict(Times.of(seconds)) for part, seconds in result.seconds.items()}
        over = {reference: ratios(outcome.results, contestant, reference) for reference in references}
        entries[contestant] = dataclasses.asdict(result) | {"summary": summary, "over": over}
    missing = {"left_out": outcome.left_out, "failed": outcome.failed}
    return {"benchmark": name, "setting": dict(setting), "machine": machine(), "contestants": entries} | missing


def markdown(results: Mapping[str, Result], setting: Mapping[str, Any], references: Sequence[str]) -> str:
    """The setting, and a table for each part of the work."""
    here = machine()
    flags = ", ".join(flag for flag in CPU_FLAGS if here[flag]) or "no vector units"
    head = ", ".join(f"{key} {value}" for key, value in setting.items())
    text = f"{head}; {here['cpu']}, {here['cpus']} CPUs, {flags}\n"
    for part in dict.fromkeys(part for result in results.values() for part in result.seconds):
        text += f"\n{_table(results, part, references)}"
    return text


def _table(results: Mapping[str, Result], part: str, references: Sequence[str]) -> str:
    over = [f"{what} / {reference}" for reference in references for what in ("median", "minimum", "memory")]
    has_counts = any("trained" in result.about for result in results.values())
    header = (part, *["trained"] * has_counts, "median, s", "quartiles, s", "minimum, s", "peak memory, MB", *over)
    rows = []
    for name, result in results.items():
        if part not in result.seconds:
            continue
        times = Times.of(result.seconds[part])
        counts = [f"{result.about['trained']:,}" if "trained" in result.about else ""] * has_counts
        cells = [name, *counts, f"{times.median:.3f}"]
        cells += [f"{times.lower_quartile:.3f}–{times.upper_quartile:.3f}", f"{times.minimum:.3f}"]
        cells.append(f"{result.peak_bytes / MB:,.0f}")
        for reference in references:
            found = ratios(results, name, reference)
            cells += [f"{found[part][kind]:.3f}" for kind in ("of_medians", "of_minima")]
            cells.append(f"{found['peak_bytes']['ratio']:.3f}")
        rows.append(cells)
    return table(header, rows)


def draw(results: Mapping[str, Result], references: Sequence[str], ours: set[str], path: Path) -> None:
    """Bars of the median seconds of each part, with quartiles, and of peak memory; ratios over the first reference."""
    from matplotlib.figure import Figure

    parts = list(dict.fromkeys(part for result in results.values() for part in result.seconds))
    figure = Figure(figsize=(4.5 * (len(parts) + 1), 1.2 + 0.42 * len(results)), dpi=120)
    for place, part in enumerate([*parts, None]):
        axes = figure.add_subplot(1, len(parts) + 1, place + 1)
        for row, (name, result) in enumerate(results.items()):
            value, text, spread = _bar(result, part)
            axes.barh(row, value, color=OURS if name in ours else THEIRS, xerr=spread, ecolor="0.25", capsize=2)
            if references and (of_part := ratios(results, name, references[0])[part or "peak_bytes"]):
                text += f" · {of_part.get('of_medians', of_part.get('ratio')):.2f}×"
            axes.text(value + (spread[1][0] if spread else 0), row, f" {text}", va="center", fontsize=8)
        axes.set_yticks(range(len(results)), list(results) if place == 0 else [""] * len(results), fontsize=9)
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.margins(x=0.35)
        axes.set_xlim(left=0)
        over = f" · ratio over {references[0]}" if references else ""
        axes.set_title(f"{f'{part}, seconds (median)' if part else 'peak memory, GB'}{over}", fontsize=9, loc="left")
    figure.tight_layout()
    figure.savefig(path)


def _bar(result: Result, part: str | None) -> tuple[float, str, list[list[float]] | None]:
    """Length, label and error of a bar; of peak memory if `part` is None."""
    if part is None:
        gigabytes = result.peak_bytes / MB / 1024
        return gigabytes, f"{gigabytes:.2f} GB", None
    times = Times.of(result.seconds[part])
    spread = [[times.median - times.lower_quartile], [times.upper_quartile - times.median]]
    return times.median, f"{times.median:.3g} s", spread
