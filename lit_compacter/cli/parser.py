"""The parser of a verb's options. It finds config files by name and reports errors in one line."""

from enum import Enum
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, Namespace, set_parsing_settings
from pytorch_lightning.cli import LightningArgumentParser

from lit_compacter.cli.configs import display_name, find_config, read_config
from lit_compacter.cli.messages import humanize_parser_error
from lit_compacter.cli.request import METHOD, Request, class_path, parse_options
from lit_compacter.cli.suggestions import explain_unknown_option
from lit_compacter.cli.user_classes import without_classes
from lit_compacter.errors import UserError
from lit_compacter.utils.options import flatten

# Options that are copied to others: source → target. Users cannot set the targets.
LINKS = (
    ("model.model_name", "data.model_name"),
    ("model.revision", "data.model_revision"),
    ("seed_everything", "data.seed"),
    ("seed_everything", "model.seed"),
)

# Some defaults of Lightning's own callbacks are members of enums.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


class ConfigFile(ActionConfigFile):
    """`--config rte.yaml` finds `configs/rte.yaml`. A file that names a method replaces the whole earlier method."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        path = find_config(values)
        config = without_classes(read_config(path))
        if class_path(flatten(config).get(METHOD)) and isinstance(cfg.get("model"), Namespace):
            cfg.pop(METHOD, None)  # jsonargparse would keep options of the same names
        try:
            super().__call__(parser, cfg, yaml.safe_dump(config), option_string)
        except (TypeError, ValueError) as error:
            raise UserError(f"{display_name(path)}: {error!s}") from error


class Parser(LightningArgumentParser):
    """Raises UserError with a one-line message, which suggests a known name for an unknown option.

    Args:
        request: The request to parse. None for the parsers that jsonargparse creates for the options of a class.
    """

    def __init__(self, *args: Any, request: Request | None = None, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)  # --trainer.max_epoch is a mistake, not max_epochs
        self.request = request
        if request is not None:
            # The help of dataclass fields. To find it takes a third of the parser's time, and most commands show none.
            shows_help = any(word == "-h" or "help" in word or "print_config" in word for word in request.args)
            set_parsing_settings(docstring_parse_attribute_docstrings=shows_help)
            self.add_argument(
                "-c",
                "--config",
                action=ConfigFile,
                help="Config file: a path, or a name in configs/. Later files and the command line override it.",
            )

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(self._explain() or humanize_parser_error(message)) from ex

    def _explain(self) -> str | None:
        """Explain what is wrong with the options; None if jsonargparse's message is better."""
        if self.request is None:
            return None
        linked = [target for _, target in LINKS]
        known = [name for name in self.get_defaults().keys() if name not in linked]  # noqa: SIM118  # of all levels
        command_line = parse_options([word for word in self.request.args if word != "--print_config"])
        given: dict[str, Any] = {}
        for file, options in (*self.request.configs.items(), ("", command_line)):
            given |= options
            if message := explain_unknown_option(options, known, given.get(METHOD)):
                return f"{file}: {message}" if file else message
        if given.get("data.task") or "data.task" not in known:
            return None
        return "no task is given; choose one: --config rte.yaml (or another file in configs/), or a run's config.yaml"
