"""The command line's manners: bare config names, and errors that are one line."""

import dataclasses
import json
import math
import re
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, Namespace
from pytorch_lightning.cli import LightningArgumentParser

from lit_compacter.errors import UserError, did_you_mean, first_twice
from lit_compacter.messages import in_words
from lit_compacter.methods import METHODS, Method
from lit_compacter.options import InputOptions
from lit_compacter.tasks.own import OPTIONS as OWN_OPTIONS

CONFIGS = Path(__file__).parents[1] / "configs"

METHOD_NAMES = sorted(path.stem for path in CONFIGS.glob("methods/*.yaml"))

MOST = 2**31  # what every library that gets a number can count to

# Defaults of Lightning's own callbacks are members of enums.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))

# What jsonargparse says of a name that it does not know.
UNKNOWN_NAME = re.compile(r"(?:unrecognized arguments: --|does not accept option '|Key ')([\w.]+)", re.IGNORECASE)
UNKNOWN_METHOD_OPTION = re.compile(r"Option '(\w+)' is not accepted")
UNKNOWN_METHOD = re.compile(r'"model\.method":.*Expected a dot import path string: (\S+)', re.DOTALL)


def find_config(given: str) -> str:
    """A config file: as a path, or by its name in `configs/`, with or without `.yaml`.

    Raises:
        UserError: There is no such file; the message lists those that exist.
    """
    for candidate in (Path(given), CONFIGS / given, CONFIGS / f"{given}.yaml"):
        if candidate.is_file():
            return str(candidate)
    existing = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml"))
    raise UserError(
        f"no config file {given!r}; in {CONFIGS} there are {', '.join(existing)}{did_you_mean(given, existing)}"
    )


def load_method(name: str, **others: Any) -> Method:
    """The method of configs/methods/<name>.yaml, with `others` in place of what it says of them (but for a null)."""
    given = yaml.safe_load((CONFIGS / "methods" / f"{name}.yaml").read_text())["model"]["method"]
    options = {key: others.get(key, v) if v is not None else v for key, v in given.get("init_args", {}).items()}
    return METHODS[given["class_path"]](**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})


def defaults_from(block: dict[str, Any], task: str) -> dict[str, Any]:
    """A checkpoint's backbone, method and inputs as parser defaults; only names of our own methods are looked up.

    What describes a task of the user's own is left out where it is not the `task` to evaluate.
    """
    if block["method"] not in METHODS:
        raise UserError(f"the checkpoint has method {block['method']!r}; expected one of {', '.join(METHODS)}")
    known = {field.name for field in dataclasses.fields(InputOptions)}
    if unknown := block["inputs"].keys() - known:
        raise UserError(
            f"the checkpoint's 'inputs' has {', '.join(map(str, unknown))}, which is no option; use another"
        )
    options = {name: list(v) if isinstance(v, tuple) else v for name, v in block["options"].items()}
    method = {"class_path": f"lit_compacter.methods.{block['method']}", "init_args": options}
    inputs = {name: v for name, v in block["inputs"].items() if block["task"] == task or name not in OWN_OPTIONS}
    model = {"model.model_name": block["model_name"], "model.method": method}
    return model | {f"data.{name}": value for name, value in inputs.items()}


def check_trainer_options(trainer: Namespace, fits: bool) -> None:
    """Refuse what Lightning takes and our runs cannot keep, or what would train nothing.

    Args:
        trainer: The trainer's options.
        fits: Is it to train?
    """
    if trainer.overfit_batches:
        raise UserError("trainer.overfit_batches replaces our samplers: use --trainer.limit_train_batches instead")
    if trainer.barebones:
        raise UserError("trainer.barebones keeps no logs and no checkpoints: leave it")
    if trainer.model_registry:
        raise UserError("trainer.model_registry uploads nothing here, as checkpoints stay in the run folder: leave it")
    if not isinstance(value := trainer.val_check_interval, int | float | None):  # a time: each process has a clock
        raise UserError(f"trainer.val_check_interval is {value}; expected batches, so that a run can be repeated")
    for name in ("gradient_clip_val", "log_every_n_steps", "min_epochs", "min_steps"):
        if (trainer[name] or 0) < 0:
            raise UserError(f"trainer.{name} is {trainer[name]}; expected a number, 0 or more")
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch", "val_check_interval"):
        if trainer[name] is not None and trainer[name] <= 0:
            raise UserError(f"trainer.{name} is {trainer[name]}; expected a number above 0")
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        if fits and trainer[name] == 0:
            raise UserError(f"trainer.{name} is 0: nothing would be trained; expected a number above 0")


class ConfigFile(ActionConfigFile):
    """`--config rte.yaml` finds `configs/rte.yaml`."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        path = find_config(values)
        _check_sections(Path(path))
        try:
            super().__call__(parser, cfg, path, option_string)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: {error}") from error


class UniqueKeys(yaml.SafeLoader):
    """Refuses an option that is given twice, of which YAML's readers take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if (twice := first_twice([name.value for name, _ in node.value])) is not None:
            raise yaml.MarkedYAMLError(problem=f"{twice} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _check_sections(path: Path) -> None:
    """Raise UserError where a config has a value in place of a section's options, which jsonargparse may let pass."""
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)  # a safe loader
        json.dumps(config, default=str, skipkeys=True)  # what holds itself would be read for ever
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no options; expected sections such as data: and model:")
    for name in ("data", "model", "trainer"):
        if not isinstance(value := config.get(name) or {}, dict):
            raise UserError(f"{path}: {name} is {value}; expected its options, indented under it")


class Parser(LightningArgumentParser):
    """A parser whose errors are one line, with the nearest valid name for an unknown one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)  # --trainer.max_epoch is a mistake, not max_epochs

    def validate(self, namespace: Any, *args: Any, **options: Any) -> None:
        """As jsonargparse, which takes a null and any whole number for every option."""
        super().validate(namespace, *args, **options)  # first, since of an option that is lacking it says more
        if options.get("skip_required"):  # a part of a config
            return
        super().validate(namespace, *args, **options | {"skip_unset": False})
        for name, value in namespace.items():
            if name.startswith("model.") and "dict_kwargs" in name.split("."):
                raise UserError(f"{name} is for classes that take any option; give init_args")
            if (isinstance(value, int) and abs(value) >= MOST) or value in (math.inf, -math.inf):
                raise UserError(f"{name} is {value}; expected a number below {MOST:,}")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if "data.task" in message and ("required" in message or message.endswith("None")):
            raise UserError(
                "no task is given; choose one: --config rte.yaml (or another file of configs/), or a run's config.yaml"
            ) from ex
        hint = self._hint(message)
        if hint in message:  # an inner parser has said it
            hint = ""
        raise UserError(in_words(message) + hint) from ex

    def _hint(self, message: str) -> str:
        if "subcommand" in message:
            return "; for example: python main.py fit --config demo.yaml"
        if match := UNKNOWN_METHOD.search(message):
            return f"; the methods are {', '.join(METHODS)}{did_you_mean(match[1], METHODS)}"
        options = {f.name: m for m in reversed(METHODS) for f in dataclasses.fields(METHODS[m])}  # type: ignore[arg-type]
        if match := UNKNOWN_METHOD_OPTION.search(message):
            owner = options.get(match[1])
            return f"; it is an option of {owner}" if owner else did_you_mean(match[1], options)
        if '"model.method"' in message and "option" not in message and not re.search(r"\w+ is .*; expected", message):
            return "; give the name of a method, or class_path: its name and init_args: its options"
        if match := UNKNOWN_NAME.search(message):
            return did_you_mean(match[1], [*self._known_names(), *(f"model.method.{name}" for name in options)])
        return ""

    def _known_names(self) -> list[str]:
        """Dotted names of every option, those of the subcommands included."""
        names = []
        for action in self._actions:
            if action.option_strings:
                names.append(action.dest)
            for parser in (getattr(action, "_name_parser_map", None) or {}).values():
                names += parser._known_names()
        return names
