"""The section `optuna` of a study file. This module does not import optuna, which need not be installed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lit_compacter.errors import UserError, did_you_mean


@dataclass(frozen=True)
class OptunaOptions:
    """How optuna searches.

    Attributes:
        num_trials: Trials for each combination of the axes without the seed. Each runs all seeds.
        sampler: Class of optuna.samplers, or its class_path and init_args. Its seed is 0 by default.
        pruner: Class of optuna.pruners, or its class_path and init_args. It ends bad trials early, by the val/score of
            their first seed; its steps are validations, counted from 1. None: no trial is ended early.
    """

    num_trials: int = 20
    sampler: str | Mapping[str, Any] = "TPESampler"
    pruner: str | Mapping[str, Any] | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "OptunaOptions":
        """Check the section of a study file. Raises UserError if an option is unknown or wrong."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise UserError(
                    f"optuna has no option {name!r}; expected {', '.join(known)}{did_you_mean(name, known)}"
                )
        options = cls(**given)
        number = options.num_trials
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise UserError(f"optuna.num_trials is {number}; expected a whole number above 0")
        for name, value in (("sampler", options.sampler), ("pruner", options.pruner)):
            if not isinstance(value, str | Mapping | None) or (name == "sampler" and value is None):
                raise UserError(f"optuna.{name} is {value}; expected the name of a class, or class_path and init_args")
        return options
