"""The command line's manners: bare config names, and errors that are one line."""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace
from pytorch_lightning.cli import LightningArgumentParser

from lit_compacter.cli.given import METHOD, flatten, on_command_line
from lit_compacter.cli.messages import in_words
from lit_compacter.cli.suggestions import explain
from lit_compacter.cli.user_classes import flat, without_classes
from lit_compacter.data.options import InputOptions
from lit_compacter.errors import UserError, did_you_mean, first_twice
from lit_compacter.methods import METHODS, Method
from lit_compacter.tasks.custom import OPTIONS as OWN_OPTIONS

CONFIGS = Path(__file__).parents[2] / "configs"

METHOD_NAMES = sorted(path.stem for path in CONFIGS.glob("methods/*.yaml"))

EXAMPLE = "for example: python main.py fit --config demo.yaml"
NO_TASK = "no task is given; choose one: --config rte.yaml (or another file in configs/), or a run's config.yaml"

MOST = 2**31  # what every library that gets a number can count to

# Defaults of Lightning's own callbacks are members of enums.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))

# Options that are set from others: source → target. The targets cannot be given.
LINKS = (("model.model_name", "data.model_name"), ("seed_everything", "data.seed"), ("seed_everything", "model.seed"))


def find_config(given: str) -> str:
    """A config file: as a path, or by its name in `configs/` or a folder of it, with or without `.yaml`.

    Raises:
        UserError: There is no such file, or more than one; the message lists those that exist.
    """
    for candidate in (Path(given), CONFIGS / given, CONFIGS / f"{given}.yaml"):
        if candidate.is_file():
            return str(candidate)
    existing = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml"))
    named = [path for path in existing if Path(path).name in (given, f"{given}.yaml")]
    if len(named) == 1:
        return str(CONFIGS / named[0])
    if named:
        raise UserError(f"there are several config files {given!r}: give one of {', '.join(named)}")
    raise UserError(
        f"no config file {given!r}; in {CONFIGS} there are {', '.join(existing)}{did_you_mean(given, existing)}"
    )


def find_defaults() -> Path:
    """The file of our defaults, without which a run would silently have Lightning's.

    Raises:
        UserError: It is not there.
    """
    path = CONFIGS / "defaults.yaml"
    if not path.is_file():
        raise UserError(
            f"no {path}, which holds the defaults of every run; run from a clone of the repository, which holds "
            "configs/, installed with `pip install --editable .`"
        )
    return path


def load_method(name: str, **others: Any) -> Method:
    """The method of configs/methods/<name>.yaml, with `others` in place of what it says of them (but for a null)."""
    given = yaml.safe_load((CONFIGS / "methods" / f"{name}.yaml").read_text())["model"]["method"]
    options = {key: others.get(key, v) if v is not None else v for key, v in given.get("init_args", {}).items()}
    return METHODS[given["class_path"]](**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})


def defaults_from(block: dict[str, Any], data: Namespace, method: str) -> dict[str, Any]:
    """A checkpoint's backbone, method and inputs as parser defaults.

    What describes a task of the user's own is left out where it is not the task to evaluate, and so is what a data
    module of the user's own has fixed.

    Args:
        block: The checkpoint's.
        data: The options of the data module.
        method: Import path of the method that the user's options name. A checkpoint alone never says what is imported.

    Raises:
        UserError: The method is none of ours, and not what the user names; or an input is no option.
    """
    path = f"lit_compacter.methods.{block['method']}"
    if block["method"] not in METHODS:
        path = block["method"]
        if path != method:
            raise UserError(
                f"the checkpoint has method {path!r}; expected one of {', '.join(METHODS)}; a method of your own "
                f"must be named too: give the run's own config.yaml with --config, or --model.method {path}"
            )
    known = {field.name for field in dataclasses.fields(InputOptions)}
    if unknown := block["inputs"].keys() - known:
        raise UserError(
            f"the checkpoint's 'inputs' has {', '.join(map(str, unknown))}, which is no option; use another"
        )
    options = {name: list(v) if isinstance(v, tuple) else v for name, v in block["options"].items()}
    same = data.get("task") in (block["task"], None)
    inputs = {name: v for name, v in block["inputs"].items() if name in data and (same or name not in OWN_OPTIONS)}
    model = {"model.model_name": block["model_name"], "model.method": {"class_path": path, "init_args": options}}
    return model | {f"data.{name}": value for name, value in inputs.items()}


def configs_of(words: Sequence[str]) -> list[dict[str, Any]]:
    """What the config files of a command line hold, in their order."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    return [read_config(find_config(given)) for given in parser.parse_known_args(words)[0].config]


class ConfigFile(ActionConfigFile):
    """`--config rte.yaml` finds `configs/rte.yaml`."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        path = find_config(values)
        file = _shown(path)
        config = without_classes(given := read_config(path))
        parser.configs[file] = flatten(config)
        try:
            super().__call__(parser, cfg, path if config == given else yaml.safe_dump(config), option_string)
        except (TypeError, ValueError) as error:
            raise UserError(f"{file}: {str(error).removeprefix(f'{file}: ')}") from error


class UniqueKeys(yaml.SafeLoader):
    """Refuses an option that is given twice, of which YAML's readers take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if (twice := first_twice([name.value for name, _ in node.value])) is not None:
            raise yaml.MarkedYAMLError(problem=f"{twice} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _shown(path: str) -> str:
    """A config's name in configs/, or its path where it lies elsewhere."""
    return str(Path(path).relative_to(CONFIGS)) if Path(path).is_relative_to(CONFIGS) else path


def read_config(file: str) -> dict[str, Any]:
    """What a config file holds.

    Raises:
        UserError: It cannot be read, or has a value in place of a section's options, which jsonargparse may let pass.
    """
    path = Path(file)
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
    return config


class Parser(LightningArgumentParser):
    """A parser whose errors are one line, which names what an option that does not exist was meant to be.

    Args:
        verbs: Verb → a sentence for `--help`; None for a parser of options.
        command_line: Does it parse the command line? jsonargparse makes others for the options of a class.
    """

    def __init__(
        self, *args: Any, verbs: Mapping[str, str] | None = None, command_line: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)  # --trainer.max_epoch is a mistake, not max_epochs
        self.verbs = verbs or {}
        self.of_verb: dict[str, Parser] = {}
        self.command_line = command_line
        self.configs: dict[str, dict[str, Any]] = {}  # config file → its options, in the order given

    def add_subcommands(self, *args: Any, **options: Any) -> Any:
        """As jsonargparse; each verb has our sentence in place of that of the Trainer's method."""
        action = super().add_subcommands(*args, **options)
        add = action.add_subcommand

        def add_verb(name: str, parser: Parser, **more: Any) -> ArgumentParser:
            self.of_verb[name] = parser
            return add(name, parser, **more | {"help": self.verbs[name]})

        if "show" in self.verbs:  # which has a parser of its own
            add("show", Parser(), help=self.verbs["show"])
        action.add_subcommand = add_verb  # type: ignore[assignment, method-assign]
        return action

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
        told = self._explain() if self.command_line else None
        raise UserError(told or in_words(message)) from ex

    def _explain(self) -> str | None:
        """What is wrong with what the user has given, where we can say it better than jsonargparse."""
        words = flat(sys.argv[1:])
        if self.of_verb:
            parser = self.of_verb.get(next(iter(words), ""))
            return parser._explain() if parser else f"no verb is given; {EXAMPLE}"
        if "--print_config" in words:
            words.remove("--print_config")  # an action and no option
        linked = [target for _, target in LINKS]
        known = [name for name in self.get_defaults().keys() if name not in linked]  # noqa: SIM118  # of all levels
        together: dict[str, Any] = {}
        for file, options in (*self.configs.items(), ("", on_command_line(words))):
            together |= options
            if told := explain(options, known, together.get(METHOD)):
                return f"{file}: {told}" if file else told
        return None if together.get("data.task") or "data.task" not in known else NO_TASK
