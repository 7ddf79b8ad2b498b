"""The user's request before jsonargparse parses it: the command line, config files and custom classes."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import yaml

from lit_compacter.checkpoints.paths import find_checkpoint
from lit_compacter.cli.configs import DEFAULTS, display_name, find_config, read_config
from lit_compacter.cli.user_classes import find_classes, split_class_options, without_classes
from lit_compacter.tasks import hub_repository
from lit_compacter.utils.options import CLASS, flatten

METHOD = "model.method"
INIT_ARGS = "init_args"
# A revision, the option that says of what, and what of its values is one repository.
REVISIONS: tuple[tuple[str, str, Callable[[object], str | None]], ...] = (
    ("model.revision", "model.model_name", str),
    ("data.revision", "data.task", hub_repository),
)


@dataclass(frozen=True)
class Request:
    """A command line with the config files that it names.

    Attributes:
        args: The arguments after the verb, without those that name a custom class.
        configs: Config file → its options by dotted name, in the order given.
        classes: Section → its class: the default data module and module, or custom ones.
    """

    args: list[str]
    configs: dict[str, dict[str, Any]]
    classes: dict[str, type]

    @classmethod
    def read(cls, args: Sequence[str]) -> "Request":
        """Read the config files and import the custom classes.

        Raises:
            UserError: A file cannot be read, or a class cannot be imported.
        """
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("-c", "--config", action="append", default=[])
        parsed, rest = parser.parse_known_args(args)
        args = [*(word for name in parsed.config for word in ("--config", name)), *rest]  # the command line wins
        paths = [find_config(name) for name in parsed.config]
        contents = [read_config(path) for path in paths]
        args, named = split_class_options(args)
        configs = {display_name(p): flatten(without_classes(c)) for p, c in zip(paths, contents, strict=True)}
        args += [f"--{name}=null" for name in stale_revisions([*configs.values(), parse_options(args)])]
        methods = [class_path(options.get(METHOD)) for options in (*configs.values(), parse_options(args))]
        return cls(args, configs, find_classes(contents, named, methods))

    def get(self, name: str) -> Any:
        """Get an option by its dotted name, from the command line or else from the last config file that has it."""
        sources = [flatten(read_config(str(DEFAULTS))), *self.configs.values(), parse_options(self.args)]
        return next((options[name] for options in reversed(sources) if name in options), None)

    def find_checkpoint(self) -> str | None:
        """The file that `--ckpt_path` refers to; None if it is not given. The other options are parsed based on it."""
        return find_checkpoint(*map(self.get, ("ckpt_path", "trainer.default_root_dir", "run_name")))


def stale_revisions(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """The revisions of a model or data set that a later source replaces by another: those in a run's own config.yaml.

    Args:
        sources: Options by dotted name, in the order given.
    """
    stale = []
    for revision, owner, repository in REVISIONS:
        last = max((number for number, options in enumerate(sources) if options.get(revision)), default=-1)
        owners = [[repository(o[owner]) for o in part if o.get(owner)] for part in (sources[: last + 1], sources)]
        if last >= 0 and owners[0][-1:] != owners[1][-1:]:
            stale.append(revision)
    return stale


def parse_options(args: Sequence[str]) -> dict[str, Any]:
    """Dotted name → value of `--name=value` and `--name value`; a value in braces is parsed as YAML."""
    options: dict[str, Any] = {}
    for word, following in zip_longest(args, args[1:]):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options[name.removesuffix("+")] = _parse_value(value if equals else following)
    return options


def _parse_value(value: str | None) -> Any:
    if value == "null":
        return None
    try:
        return yaml.safe_load(value) if value and value[0] in "{[" else value
    except yaml.YAMLError:
        return value


def class_path(value: Any) -> str:
    """The import path or name of the class in an option's value; empty if there is none."""
    path = value.get(CLASS) if isinstance(value, dict) else value
    return path if isinstance(path, str) else ""


def class_name(value: Any) -> str:
    """As `class_path`, without the module."""
    return class_path(value).rpartition(".")[2]


def init_args(value: Any) -> dict[str, Any]:
    """The options of the class in an option's value."""
    return dict(value.get(INIT_ARGS) or {}) if isinstance(value, dict) else {}


def class_options(given: Mapping[str, Any], option: str) -> dict[str, Any]:
    """The options of `option`'s class: within its value, or given as `option.name` or `option.init_args.name`."""
    options = init_args(given.get(option))
    for name, value in given.items():
        if name.startswith(f"{option}."):
            options[name.removeprefix(f"{option}.").removeprefix(f"{INIT_ARGS}.")] = value
    return {name: value for name, value in options.items() if name not in ("help", CLASS, INIT_ARGS, "dict_kwargs")}


def replaced_options(configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`data.batch_size 16 of cb.yaml (100 in adapter.yaml)` for each option that a later config file replaces.

    A file that names a method drops the options of an earlier file's, even if it names the same one.

    Args:
        configs: File → its options by dotted name, in the order given.
    """
    messages: dict[str, str] = {}
    values: dict[str, tuple[str, Any]] = {}
    for file, options in configs.items():
        own = _with_method_options(options)
        dropped = []
        if METHOD in own and METHOD in values:
            dropped = [name for name in values if name.startswith(f"{values[METHOD][1]}.") and name not in own]
        for name, value in own.items():
            earlier_file, earlier = values.get(name, (file, value))
            if earlier != value:
                messages[name] = f"{name} {earlier} of {earlier_file} ({value} in {file})"
            values[name] = file, value
        for name in dropped:
            earlier_file, earlier = values.pop(name)
            messages[name] = f"{name} {earlier} of {earlier_file} (dropped by {file})"
    return list(messages.values())


def _with_method_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with the method's class and each of its options as separate entries."""
    flat = {name: value for name, value in options.items() if not name.startswith(METHOD)}
    if method := class_name(options.get(METHOD)):
        flat[METHOD] = method
        flat |= {f"{method}.{name}": value for name, value in class_options(options, METHOD).items()}
    return flat
