"""Find and read config files. This module has no slow imports, so that a study's mistakes are told at once."""

from pathlib import Path
from typing import Any

import yaml

from lit_compacter.errors import UserError, did_you_mean, first_duplicate

SHARE = Path(__file__).parents[1] / "share"  # where an installed package keeps configs/ and data/
ROOT = (SHARE if SHARE.is_dir() else Path(__file__).parents[2]).resolve()  # else a clone has them at its top level
CONFIGS = ROOT / "configs"
DEFAULTS = CONFIGS / "defaults.yaml"  # read before any --config

METHOD_NAMES = sorted(path.stem for path in CONFIGS.glob("methods/*.yaml"))


def find_config(given: str) -> str:
    """Find a config file by its path, or by its name in `configs/` or a subfolder, with or without `.yaml`.

    Raises:
        UserError: There is no such file (the message names a similar one, or those of its folder), or more than one.
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
    siblings = [path for path in existing if Path(path).parent == Path(given).parent]
    siblings = siblings or list(dict.fromkeys(path.partition("/")[0] for path in existing))  # files and folders
    stems = {Path(path).stem: path for path in existing}
    elsewhere = stems.get(stem := Path(given).stem)
    meant = f"; did you mean {elsewhere!r}?" if elsewhere else did_you_mean(stem, stems)
    raise UserError(f"no config file {given!r}{meant or f'; in {CONFIGS} there are ' + ', '.join(siblings)}")


def display_name(path: str) -> str:
    """A config's name in `configs/`, or its path if it is elsewhere."""
    return str(Path(path).relative_to(CONFIGS)) if Path(path).is_relative_to(CONFIGS) else path


class UniqueKeyLoader(yaml.SafeLoader):
    """Refuses an option that is given twice. Other YAML loaders silently take the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if (duplicate := first_duplicate([name.value for name, _ in node.value])) is not None:
            raise yaml.MarkedYAMLError(problem=f"{duplicate} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_config(file: str) -> dict[str, Any]:
    """The content of a config file.

    Paths in our own configs, such as `data/tiny-t5`, are found from any working directory.

    Raises:
        UserError: The file cannot be read, or a section is not a mapping.
    """
    path = Path(file)
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), UniqueKeyLoader)  # a safe loader
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no options; expected sections such as data: and model:")
    for name in ("data", "model", "trainer"):
        if not isinstance(value := config.get(name), dict | None):
            raise UserError(f"{path}: {name} is {value}; expected its options, indented under it")
    if path.resolve().is_relative_to(CONFIGS):
        for options in filter(None, (config.get(name) for name in ("data", "model"))):
            options |= {name: str(ROOT / value) for name, value in options.items() if str(value).startswith("data/")}
    return config
