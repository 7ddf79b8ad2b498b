"""The parser of the verbs that have no options of Lightning. It has no slow imports, so that --help answers at once."""

from typing import NoReturn

from jsonargparse import ArgumentParser

from lit_compacter.cli.messages import humanize_parser_error
from lit_compacter.cli.verbs import VERBS
from lit_compacter.errors import UserError
from lit_compacter.runtime.command import command_name


class PlainParser(ArgumentParser):
    """Raises UserError with a one-line message.

    Args:
        verb: The verb whose options it parses.
    """

    def __init__(self, verb: str) -> None:
        super().__init__(prog=f"{command_name()} {verb}", description=VERBS[verb], allow_abbrev=False)
        self.add_argument("--debug", action="store_true", help="Show the traceback of an error.")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(humanize_parser_error(message)) from ex
