"""What the user has given: the options of the command line and of config files, by their dotted names."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import yaml

METHOD = "model.method"
CLASS, INIT_ARGS = "class_path", "init_args"


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted name → value of a config; a class with its options stays one value."""
    options: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict) and CLASS not in value:
            options |= flatten(value, f"{prefix}{name}.")
        else:
            options[f"{prefix}{name}"] = value
    return options


def on_command_line(words: Sequence[str]) -> dict[str, Any]:
    """Dotted name → value of `--name=value` and `--name value`; of a class in braces as a config has it."""
    options: dict[str, Any] = {}
    for word, following in zip_longest(words, words[1:]):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options[name.removesuffix("+")] = _read(value if equals else following)
    return options


def _read(value: str | None) -> Any:
    try:
        return yaml.safe_load(value) if value and value[0] in "{[" else value
    except yaml.YAMLError:
        return value


def class_path(value: Any) -> str:
    """What names a class in an option's value: a path, or the name alone; empty where there is none."""
    path = value.get(CLASS) if isinstance(value, dict) else value
    return path if isinstance(path, str) else ""


def class_name(value: Any) -> str:
    """As `class_path`, without the module."""
    return class_path(value).rpartition(".")[2]


def init_args(value: Any) -> dict[str, Any]:
    """The options of the class that an option's value names."""
    return dict(value.get(INIT_ARGS) or {}) if isinstance(value, dict) else {}


def own_options(given: Mapping[str, Any], option: str) -> dict[str, Any]:
    """The options of `option`'s class: within its value, or as `option.name` and `option.init_args.name`."""
    options = init_args(given.get(option))
    for name, value in given.items():
        if name.startswith(f"{option}."):
            options[name.removeprefix(f"{option}.").removeprefix(f"{INIT_ARGS}.")] = value
    return {name: value for name, value in options.items() if name not in ("help", CLASS, INIT_ARGS, "dict_kwargs")}


def replaced_options(configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`data.batch_size 16 of cb.yaml (100 in adapter.yaml)` for each option that a later config file has replaced.

    Args:
        configs: File → its options, as of `flatten`, in the order in which they were given.
    """
    told: dict[str, str] = {}
    values: dict[str, tuple[str, Any]] = {}
    for file, options in configs.items():
        for name, value in _leaves(options).items():
            before, earlier = values.get(name, (file, value))
            if earlier != value:
                told[name] = f"{name} {earlier} of {before} ({value} in {file})"
            values[name] = file, value
    return list(told.values())


def _leaves(options: Mapping[str, Any]) -> dict[str, Any]:
    """With the method's class and each of its options as options of their own."""
    leaves = dict(options)
    if method := class_name(leaves.pop(METHOD, None)):
        leaves[METHOD] = method
        leaves |= {f"{method}.{name}": value for name, value in own_options(options, METHOD).items()}
    return leaves
