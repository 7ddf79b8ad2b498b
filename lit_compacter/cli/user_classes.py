"""Classes of the user's own in place of the data module and the module.

`--data my.MyData`, or in YAML

    data:
      class_path: my.MyData
      init_args: {task: rte, …}

Their options are `data.…` and `model.…` as those of the classes that they extend, so one parser is made of them.
"""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_compacter.cli.given import CLASS, INIT_ARGS, METHOD, class_path, flatten, on_command_line
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError, first_line
from lit_compacter.methods import Method
from lit_compacter.module import T5Module

SECTIONS: dict[str, type] = {"data": GlueDataModule, "model": T5Module}
NAMED, NESTED = re.compile(rf"^--(data|model)\.{CLASS}(?==|$)"), re.compile(rf"^--(data|model)\.{INIT_ARGS}\.")


def import_class(path: str, base: type, option: str) -> type:
    """The class that a path such as `my_module.MyClass` names.

    Raises:
        UserError: It cannot be imported, or does not extend `base`.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name) if module else None
    except AttributeError as error:
        raise UserError(f"{option}: module {module} has no class {name}") from error
    except Exception as error:  # whatever the user's module raises
        where = "; modules are looked for in the current folder and in PYTHONPATH"
        hint = where if isinstance(error, ModuleNotFoundError) else ""
        raise UserError(f"{option}: cannot import {path}: {type(error).__name__}: {first_line(error)}{hint}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(
            f"{option} is {path}; expected the import path of a class that extends "
            f"{base.__module__}.{base.__qualname__}, such as my_module.My{base.__name__}"
        )
    return found


def flat(words: Sequence[str]) -> list[str]:
    """The words of a command line with `--data X` for `--data.class_path X`, `--data.x` for `--data.init_args.x`."""
    return [NESTED.sub(r"--\1.", NAMED.sub(r"--\1", word)) for word in words]


def take_classes(words: Sequence[str], configs: Sequence[dict[str, Any]]) -> tuple[dict[str, type], list[str]]:
    """The class of each section: the user's where a config or the command line, which wins, names one.

    A method of the user's own is imported too: jsonargparse, which will take it, lets pass what its module raises.

    Args:
        words: Of the command line.
        configs: What the config files hold, in their order.

    Returns:
        Section → class; and the words without those that name a class.
    """
    classes = dict(SECTIONS)
    words = flat(words)
    for section, base in SECTIONS.items():
        for path in (path for config in configs if (path := (config.get(section) or {}).get(CLASS))):
            classes[section] = import_class(str(path), base, f"{section}.{CLASS}")
        value = on_command_line(words).get(section)
        if isinstance(value, str) and not Path(value).exists():  # jsonargparse takes a file with the section's options
            classes[section] = import_class(value, base, f"--{section}")
            place = next(i for i, word in enumerate(words) if word.partition("=")[0] == f"--{section}")
            words = [*words[:place], *words[place + (1 if "=" in words[place] else 2) :]]
    for given in (*(flatten(without_classes(config)) for config in configs), on_command_line(words)):
        if "." in (path := class_path(given.get(METHOD))):
            import_class(path, Method, METHOD)
    return classes, words


def without_classes(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose sections hold the options of their classes alone."""
    config = dict(config)
    for name in SECTIONS:
        section = config.get(name) or {}
        if CLASS in section:
            options = {option: value for option, value in section.items() if option not in (CLASS, INIT_ARGS)}
            config[name] = options | (section.get(INIT_ARGS) or {})
    return config


def with_classes(config: str, classes: dict[str, type]) -> str:
    """A resolved config that names the user's classes, so that what is begun from it has them too."""
    own = {name: kind for name, kind in classes.items() if kind is not SECTIONS[name]}
    if not own:
        return config
    sections = yaml.safe_load(config)
    for name, kind in own.items():
        sections[name] = {CLASS: f"{kind.__module__}.{kind.__qualname__}", INIT_ARGS: sections[name]}
    return yaml.safe_dump(sections, sort_keys=False)
