"""Make the samplers and pruners that a study file names."""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import optuna

from lit_compacter.errors import UserError, did_you_mean, first_line
from lit_compacter.utils.options import CLASS

INIT_ARGS = "init_args"
SEED = "seed"
# They end `Study.optimize`, which runs no study here; and without optuna a search tries every combination.
EXHAUSTIVE = ("BruteForceSampler", "GridSampler")


def make_sampler(spec: str | Mapping[str, Any], number: int) -> optuna.samplers.BaseSampler:
    """A sampler for one trial.

    Its seed is a function of the given one and the trial's number. So a study that was stopped goes on with other
    random numbers than it began with, the same as if it had not been stopped.

    Args:
        spec: Name of a class in optuna.samplers, or class_path and init_args.
        number: The trial's number.

    Raises:
        UserError: There is no such class, or it refuses its options.
    """
    return _make("optuna.sampler", spec, optuna.samplers, number)


def make_pruner(spec: str | Mapping[str, Any] | None) -> optuna.pruners.BasePruner:
    """A pruner; one that prunes nothing by default. Raises UserError as `make_sampler` does."""
    return optuna.pruners.NopPruner() if spec is None else _make("optuna.pruner", spec, optuna.pruners, 0)


def _make(option: str, spec: str | Mapping[str, Any], module: ModuleType, number: int) -> Any:
    spec = {CLASS: spec} if isinstance(spec, str) else spec
    if unknown := spec.keys() - {CLASS, INIT_ARGS}:
        raise UserError(f"{option} has {min(unknown)!r}; expected {CLASS}: NAME and {INIT_ARGS}: its options")
    kind = _find(option, str(spec.get(CLASS)), module)
    parameters = inspect.signature(kind).parameters
    given = spec.get(INIT_ARGS) or {}
    for name in given:
        if name not in parameters:
            raise UserError(
                f"{option}: {kind.__name__} has no option {name!r}{did_you_mean(name, parameters)} "
                f"({kind.__name__} has {', '.join(parameters)})"
            )
    args = {  # a sampler or pruner may contain another
        name: _make(f"{option}.{name}", value, module, number)
        if isinstance(value, Mapping) and CLASS in value
        else value
        for name, value in given.items()
    }
    if SEED in parameters:
        seed = args.get(SEED, 0)
        # QMC's points belong to one sequence, whose position is kept in the storage.
        args[SEED] = seed if kind is optuna.samplers.QMCSampler else seed + number
    try:
        return kind(**args)
    except Exception as error:  # optuna's classes raise many types
        raise UserError(f"{option}: {kind.__name__}: {first_line(error)}") from error


def _find(option: str, given: str, module: ModuleType) -> type[Any]:
    name = given.removeprefix(f"{module.__name__}.")
    kinds = {
        known: kind
        for known, kind in vars(module).items()
        if known in module.__all__ and inspect.isclass(kind) and not inspect.isabstract(kind)
    }
    if name in EXHAUSTIVE:
        raise UserError(
            f"{option}: {name} tries every combination, as a search does without the section optuna: omit it"
        )
    if name not in kinds:
        offered = [known for known in kinds if known not in EXHAUSTIVE]
        raise UserError(
            f"{option}: unknown class {given!r}; expected one of {', '.join(offered)}{did_you_mean(name, offered)}"
        )
    return kinds[name]
