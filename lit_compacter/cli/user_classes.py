"""Custom classes in place of the data module and the module.

`--data my_module.MyData`, or in YAML

    data:
      class_path: my_module.MyData
      init_args: {task: rte, …}

Their options are `data.…` and `model.…`, like the options of the classes that they extend.
"""

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError, first_line
from lit_compacter.methods import Method
from lit_compacter.module import T5Module

CLASSES: dict[str, type] = {"data": GlueDataModule, "model": T5Module}
CLASS_OPTION = re.compile(r"^--(data|model)\.class_path(?==|$)")
NESTED_OPTION = re.compile(r"^--(data|model)\.init_args\.")


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


def split_class_options(args: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Remove the arguments that name a custom class from a command line.

    Args:
        args: With `--data X` or `--data.class_path X`, `--data.x` or `--data.init_args.x`, and the same for `model`.

    Returns:
        The other arguments, with all options in the form `--data.x`; and section → import path.
    """
    words = [NESTED_OPTION.sub(r"--\1.", CLASS_OPTION.sub(r"--\1", word)) for word in args]
    named: dict[str, str] = {}
    rest: list[str] = []
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        if (section := option.removeprefix("--")) not in CLASSES or not option.startswith("--"):
            rest.append(word)
            continue
        value = value if equals else (words.pop(0) if words else "")
        if Path(value).exists():  # jsonargparse takes a file with the section's options
            rest.append(f"{option}={value}")
        else:
            named[section] = value
    return rest, named


def find_classes(
    configs: Iterable[Mapping[str, Any]], named: Mapping[str, str], methods: Iterable[str]
) -> dict[str, type]:
    """Import the custom classes.

    Custom methods are imported too, because jsonargparse would hide the errors of their modules.

    Args:
        configs: Contents of the config files, in their order.
        named: Section → import path on the command line, which wins.
        methods: Import paths and names of methods.

    Returns:
        Section → class.

    Raises:
        UserError: A class cannot be imported, or does not fit its section.
    """
    classes = dict(CLASSES)
    for section, base in CLASSES.items():
        for path in (path for config in configs if (path := (config.get(section) or {}).get("class_path"))):
            classes[section] = import_class(str(path), base, f"{section}.class_path")
        if section in named:
            classes[section] = import_class(named[section], base, f"--{section}")
    for path in methods:
        if "." in path:
            import_class(path, Method, "model.method")
    return classes


def without_classes(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose sections hold only the options of their classes."""
    config = dict(config)
    for name in CLASSES:
        section = config.get(name) or {}
        if "class_path" in section:
            options = {option: value for option, value in section.items() if option not in ("class_path", "init_args")}
            config[name] = options | (section.get("init_args") or {})
    return config


def with_classes(config: str, classes: Mapping[str, type]) -> str:
    """A resolved config, as YAML, that names the user's classes."""
    own = {name: kind for name, kind in classes.items() if kind is not CLASSES[name]}
    if not own:
        return config
    sections = yaml.safe_load(config)
    for name, kind in own.items():
        sections[name] = {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": sections[name]}
    return yaml.safe_dump(sections, sort_keys=False)
