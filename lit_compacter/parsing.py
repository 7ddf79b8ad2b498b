"""The command line's manners: bare config names, and errors that are one line."""

import difflib
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile
from pytorch_lightning.cli import LightningArgumentParser

from lit_compacter.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"


def find_config(given: str) -> str:
    """A config file: as a path, or by its name in `configs/`, with or without `.yaml`.

    Raises:
        UserError: There is no such file; the message lists those that exist.
    """
    for candidate in (Path(given), CONFIGS / given, CONFIGS / f"{given}.yaml"):
        if candidate.is_file():
            return str(candidate)
    existing = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml"))
    near = difflib.get_close_matches(given, existing, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"no config file {given!r}; in {CONFIGS} there are {', '.join(existing)}{hint}")


class ConfigFile(ActionConfigFile):
    """`--config rte.yaml` finds `configs/rte.yaml`."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        super().__call__(parser, cfg, find_config(values), option_string)


class Parser(LightningArgumentParser):
    """A parser whose errors are one line, with the nearest valid name for an unknown one."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if "--debug" in sys.argv and ex is not None:
            raise ex
        raise UserError(one_line(message) + self._suggestion(message))

    def known_keys(self) -> list[str]:
        """Dotted names of every option, those of subcommands and of the classes that are options included."""
        keys = []
        for action in self._actions:
            keys.append(action.dest)
            for parser in (getattr(action, "_name_parser_map", None) or {}).values():
                keys += parser.known_keys()
        return keys

    def _suggestion(self, message: str) -> str:
        match = re.search(r"(?:Unrecognized arguments:|Key) '?-*([\w.]+)'?", message)
        if not match:
            return ""
        near = difflib.get_close_matches(match[1], self.known_keys(), n=1, cutoff=0.6)
        return f"; did you mean {near[0]!r}?" if near else ""


def one_line(message: str) -> str:
    """jsonargparse nests its messages over several lines; say them on one."""
    return " ".join(message.split())
