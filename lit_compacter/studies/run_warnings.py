"""The warnings that the cells of a study keep with their results, each told once for all cells that have it."""

from collections.abc import Mapping, Sequence
from typing import Any

from lit_compacter.studies.study import AXES, SEED

MAX_LISTED = 6  # combinations of an axis's values, for one warning


def group_warnings(cells: Sequence[tuple[Mapping[str, Any], Sequence[str]]]) -> list[str]:
    """`compacter × rte × seed 1, 2; lora × rte × seed 1: the warm-up has …` for each warning.

    Args:
        cells: The values of each cell's axes, and its warnings.
    """
    concerned: dict[str, list[Mapping[str, Any]]] = {}
    for values, texts in cells:
        for text in texts:
            concerned.setdefault(text, []).append(values)
    return [
        f"{'all cells' if len(found) == len(cells) else _describe(found)}: {text}" for text, found in concerned.items()
    ]


def _describe(cells: Sequence[Mapping[str, Any]]) -> str:
    seeds: dict[str, dict[str, None]] = {}  # of cells that differ in nothing else that an axis says
    for values in cells:
        others = " × ".join(_part(axis, value) for axis, value in values.items() if axis != SEED)
        seeds.setdefault(others, {}).update({str(values[SEED]): None} if SEED in values else {})
    parts = [
        " × ".join(filter(None, (others, f"seed {', '.join(found)}" if found else "")))
        for others, found in seeds.items()
    ]
    more = [f"and {len(parts) - MAX_LISTED} more"] if len(parts) > MAX_LISTED else []
    return "; ".join(parts[:MAX_LISTED] + more)


def _part(axis: str, value: Any) -> str:
    return str(value) if axis in AXES else f"{axis} = {value}"
