"""The command that starts this program."""

import sys
from pathlib import Path

ENTRY = Path(__file__).parents[1] / "__main__.py"  # for a Python that may not have the package installed


def command_name() -> str:
    """The command that starts this program, in a clone or installed, for use in messages."""
    return "python main.py" if Path(sys.argv[0]).name == "main.py" else "lit-compacter"
