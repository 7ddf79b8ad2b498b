"""What a search varies: lists of values, and ranges of numbers for optuna."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from lit_compacter.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import optuna

EXAMPLE = "{low: 1.0e-4, high: 1.0e-2, log: true}"


@dataclass(frozen=True)
class Range:
    """Numbers from low to high: whole ones if both are whole (write 1.0 for others).

    Attributes:
        low: The least value.
        high: The greatest value.
        log: Whether to sample the logarithm evenly.
        step: Distance between values; None: any number, or every whole one.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its values are ints."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> list[float]:
        """Its least and its greatest value."""
        return [self.low, self.high]

    def suggest(self, trial: "optuna.Trial", name: str) -> None:
        """Let optuna choose a value."""
        if self.is_whole:
            trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        else:
            trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def value(self, param: Any) -> Any:
        """The option's value, from the one that optuna keeps."""
        return int(param) if self.is_whole else float(param)


@dataclass(frozen=True)
class Choice:
    """A list of values. optuna keeps text, numbers, true, false and null as they are, and all else as JSON text."""

    values: list[Any]

    @property
    def ends(self) -> list[Any]:
        """All values."""
        return self.values

    @property
    def params(self) -> list[Any]:
        """The values as optuna keeps them."""
        plain = str | bool | int | float | None
        return [value if isinstance(value, plain) else json.dumps(value) for value in self.values]

    def suggest(self, trial: "optuna.Trial", name: str) -> None:
        """Let optuna choose a value."""
        trial.suggest_categorical(name, self.params)

    def value(self, param: Any) -> Any:
        """The option's value, from the one that optuna keeps. Raises ValueError if it is not one of them."""
        return self.values[self.params.index(param)]


Space = Mapping[str, Range | Choice]  # option → what it may be


def read_space(search: Mapping[str, Any]) -> Space:
    """The search space of a study file: a list is a choice, a mapping a range.

    Raises:
        UserError: One is neither, or a range is wrong.
    """
    return {
        name: Choice(given) if isinstance(given, list) else _read_range(name, given) for name, given in search.items()
    }


def _read_range(name: str, given: Any) -> Range:
    if not isinstance(given, Mapping):
        raise UserError(f"search: {name} is {given}; expected a list such as [a, b], or a range such as {EXAMPLE}")
    known = [field.name for field in fields(Range)]
    for key in given:
        if key not in known:
            raise UserError(f"search: {name} has {key!r}; expected {', '.join(known)}{did_you_mean(str(key), known)}")
    if missing := {"low", "high"} - given.keys():
        raise UserError(f"search: {name} has no {min(missing)}; expected a range such as {EXAMPLE}")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"search: {name}.log is {log}; expected true or false")
    numbers = {
        key: _number(f"{name}.{key}", given[key]) for key in ("low", "high", "step") if given.get(key) is not None
    }
    wanted = Range(**numbers, log=log)
    if obstacle := _obstacle(wanted):
        raise UserError(f"search: {name} {obstacle}")
    return wanted


def _number(name: str, given: Any) -> float:
    """A number; YAML reads 1e-4 as text."""
    try:
        if not isinstance(given, bool):
            return given if isinstance(given, int) else float(given)
    except (TypeError, ValueError):
        pass
    raise UserError(f"search: {name} is {given}; expected a number")


def _obstacle(wanted: Range) -> str | None:
    """What is wrong with a range, as the end of a sentence."""
    if not wanted.low < wanted.high:
        return f"has low {wanted.low} and high {wanted.high}; expected low < high"
    if wanted.log and wanted.low <= 0:
        return f"has log: true and low {wanted.low}; expected low above 0"
    if wanted.step is None:
        return None
    if wanted.log:
        return "has log: true and a step; expected one of them"
    if not wanted.step > 0:
        return f"has step {wanted.step}; expected a number above 0"
    if wanted.is_whole and not isinstance(wanted.step, int):
        return f"has step {wanted.step}; expected a whole number, as low and high are (write {wanted.low}.0 for others)"
    return None
