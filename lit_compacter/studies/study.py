"""What a study is: a grid of options, and the cells that it consists of."""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from lit_compacter.errors import UserError, did_you_mean, first_duplicate
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.search.space import Choice, read_space
from lit_compacter.utils.options import flatten

METHOD, TASK, SEED = "method", "task", "seed"  # axes with a meaning of their own
# Axes whose values name config files. `variant` has only what `overrides` says of its values, `seed` is an option with
# a long name, and all others are options themselves.
CONFIG_AXES = {"config": "{}", TASK: "{}.yaml", METHOD: "methods/{}.yaml"}
VARIANT = "variant"
OPTION_NAMES = {SEED: "seed_everything"}
AXES = (*CONFIG_AXES, SEED, VARIANT)  # and options


@dataclass
class Study:
    """A grid of runs. Each combination of the axes' values is a cell: `fit`, then `test` with its best checkpoint."""

    configs: list[str] = field(default_factory=list)
    """Config files of all cells, such as [demo.yaml]."""

    axes: dict[str, list[Any]] = field(default_factory=dict)
    """Axis → its values. An axis is task, method or config (names of files in configs/), seed, any option, such as
    data.max_train_samples, or variant: names for what overrides says."""

    exclude: list[dict[str, Any]] = field(default_factory=list)
    """Combinations to leave out, such as [{method: full, seed: 3}]."""

    overrides: dict[str, dict[Any, dict[str, Any]]] = field(default_factory=dict)
    """Axis → value → options of the cells with this value, such as {task: {cb: {trainer: {max_epochs: 100}}}}."""

    search: dict[str, Any] = field(default_factory=dict)
    """Option → values to try in each cell, or a range such as {low: 1.0e-4, high: 1.0e-2, log: true} for optuna. The
    combination with the best mean of val/best_score over seeds is tested."""

    optuna: dict[str, Any] | None = None
    """Let optuna search, with these options: num_trials, sampler, pruner. Default: all combinations are tried."""

    trainer: dict[str, Any] = field(default_factory=dict)
    """Options of all cells."""

    data: dict[str, Any] = field(default_factory=dict)
    """Options of all cells."""

    model: dict[str, Any] = field(default_factory=dict)
    """Options of all cells."""

    def cells(self) -> list[Cell]:
        """All cells of a grid, in its order: the last axis changes fastest.

        Raises:
            UserError: The grid is empty, an axis has no or repeated values, or `exclude` or `overrides` names an
                unknown axis or value.
        """
        self._check()
        cells = [
            self.cell(values, searched)
            for values in _grid(self.axes)
            if not any(excluded.items() <= values.items() for excluded in self.exclude)
            for searched in _grid(self.search)
        ]
        if not cells:
            raise UserError("the study has no cells: exclude leaves out all combinations")
        if name := first_duplicate([cell.name for cell in cells]):
            raise UserError(f"two cells of the study have the name {name}; change a value of an axis")
        return cells

    def without_search(self) -> "Study":
        """The same study without a search: each of its cells is a seed in which optuna's trials run."""
        self._check()
        return replace(self, search={}, optuna=None)

    def cells_to_check(self) -> list[Cell]:
        """Cells that hold each value of the search, and the ends of its ranges, at least once."""
        cells = self.without_search().cells()
        ends = {name: of.ends for name, of in read_space(self.search).items()}
        numbers = range(max(map(len, ends.values()), default=1))
        searched = [{name: values[number % len(values)] for name, values in ends.items()} for number in numbers]
        return [self.cell(cell.values, values) for cell in cells for values in searched]

    def _check(self) -> None:
        ranges = [name for name, of in read_space(self.search).items() if not isinstance(of, Choice)]
        if ranges and self.optuna is None:
            raise UserError(
                f"search: {ranges[0]} is a range, which needs optuna: add the section optuna: {{num_trials: 20}}, or "
                "give a list such as [a, b]"
            )
        if self.optuna is not None and not self.search:
            raise UserError(
                "optuna has nothing to search; expected, for example, search: {model.learning_rate: [1.0e-3]}"
            )
        if not self.axes:
            raise UserError("the study has no axes; expected, for example, axes: {method: [compacter, lora]}")
        lists = {name: of.ends for name, of in read_space(self.search).items()}
        for axis, values in (self.axes | lists).items():
            if axis not in AXES and "." not in axis:
                raise UserError(
                    f"unknown axis {axis!r}; expected {', '.join(AXES)} or an option such as data.batch_size"
                    f"{did_you_mean(axis, AXES)}"
                )
            if not values:
                raise UserError(f"axis {axis} has no values; expected a list such as [a, b]")
            if (repeated := first_duplicate([json.dumps(value) for value in values])) is not None:
                raise UserError(f"axis {axis} has the value {repeated} twice")
        named = [(axis, value) for excluded in self.exclude for axis, value in excluded.items()]
        named += [(axis, value) for axis, values in self.overrides.items() for value in values]
        for axis, value in named:
            if axis not in self.axes:
                raise UserError(f"exclude or overrides names {axis}; expected one of the axes: {', '.join(self.axes)}")
            if value not in self.axes[axis]:
                known = ", ".join(map(str, self.axes[axis]))
                warnings.warn(f"exclude or overrides names {axis} {value}, which is none of {known}", stacklevel=3)

    def cell(self, values: Mapping[str, Any], searched: Mapping[str, Any], trial: int | None = None) -> Cell:
        """The cell with these values of the axes and the search. Its name has the number of optuna's trial, if any."""
        options = [f"--config={name}" for name in self.configs]
        options += [f"--config={form.format(values[axis])}" for axis, form in CONFIG_AXES.items() if axis in values]
        sections = {name: getattr(self, name) for name in ("trainer", "data", "model")}
        own = [
            changes
            for axis, of_values in self.overrides.items()
            for value, changes in of_values.items()
            if value == values[axis]
        ]
        set_ = {name: value for part in (sections, *own) for name, value in flatten(part).items()}
        others = {axis: value for axis, value in values.items() if axis not in (*CONFIG_AXES, VARIANT)}
        set_ |= {OPTION_NAMES.get(axis, axis): value for axis, value in others.items()}
        options += [f"--{name}={as_argument(value)}" for name, value in (set_ | dict(searched)).items()]
        name = name_of({**values, **(searched if trial is None else {"trial": trial})})
        return Cell(name, values, tuple(options), searched)


def _grid(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def group_name(cell: Cell) -> str:
    """`method=lora`: the name of the cells that differ only in the seed and the search; `all` without other axes."""
    return name_of({axis: value for axis, value in cell.values.items() if axis != SEED}) or "all"


def as_argument(value: Any) -> str:
    """An option's value as an argument: text as it is, all else as YAML reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def name_of(values: Mapping[str, Any]) -> str:
    """`method=lora,seed=1`: the name of a run directory. Options go by their last part where that is unique."""
    short = [axis.rpartition(".")[2] for axis in values]
    names = [last if short.count(last) == 1 else axis for last, axis in zip(short, values, strict=True)]
    texts = [re.sub(r"[^\w.+-]+", "-", as_argument(value).strip("[]{}\"'/ ")) for value in values.values()]
    return ",".join(f"{name}={text}" for name, text in zip(names, texts, strict=True))
