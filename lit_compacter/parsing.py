"""The command line's manners: bare config names, and errors that are one line."""

import dataclasses
import re
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile
from pytorch_lightning.cli import LightningArgumentParser

from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.methods import METHODS, Method

CONFIGS = Path(__file__).parents[1] / "configs"

METHOD_NAMES = sorted(path.stem for path in CONFIGS.glob("methods/*.yaml"))

# What jsonargparse says of a name that it does not know.
UNKNOWN_NAME = re.compile(r"(?:unrecognized arguments: --|does not accept option '|Key ')([\w.]+)", re.IGNORECASE)
# … and of a number out of range, or of one that may be null.
NUMBER = re.compile(
    r'Parser key "(?P<key>[\w.]+)":\s+Not of type (?P<type>\w+): (?P<value>\S+) does not conform to restriction v>=?0'
)
OPTIONAL = re.compile(
    r'Parser key "(?P<key>[\w.]+)":\s+Does not validate.*?Not of type (?P<type>\w+): .*Given value: (?P<value>\S+).*',
    re.DOTALL,
)
NUMBERS = {
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number, 0 or more",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or more",
}
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


class ConfigFile(ActionConfigFile):
    """`--config rte.yaml` finds `configs/rte.yaml`."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        path = find_config(values)
        try:
            super().__call__(parser, cfg, path, option_string)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: {error}") from error


class Parser(LightningArgumentParser):
    """A parser whose errors are one line, with the nearest valid name for an unknown one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)  # --trainer.max_epoch is a mistake, not max_epochs

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = NUMBER.sub(lambda m: f"{m['key']} is {m['value']}; expected {NUMBERS[m['type']]}", message)
        message = OPTIONAL.sub(lambda m: f"{m['key']} is {m['value']}; expected {NUMBERS[m['type']]}, or null", message)
        hint = self._hint(message)
        if hint in message:  # an inner parser has said it
            hint = ""
        # jsonargparse nests its messages over several lines.
        raise UserError(" ".join(message.split()) + hint) from ex

    def _hint(self, message: str) -> str:
        if "required" in message.lower() and "data.task" in message:
            return "; choose a task: --config rte.yaml (or another file of configs/), or the config.yaml of a run"
        if "subcommand" in message:
            return "; for example: python main.py fit --config demo.yaml"
        if '"where"' in message:
            return "; expected a list such as [attention, feed_forward]"
        if '"layers"' in message:
            return "; expected a list such as [0, 1], or null for all"
        if match := UNKNOWN_METHOD.search(message):
            return f"; the methods are {', '.join(METHODS)}{did_you_mean(match[1], METHODS)}"
        options = {f.name: m for m in reversed(METHODS) for f in dataclasses.fields(METHODS[m])}  # type: ignore[arg-type]
        if match := UNKNOWN_METHOD_OPTION.search(message):
            owner = options.get(match[1])
            return f"; it is an option of {owner}" if owner else did_you_mean(match[1], options)
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
