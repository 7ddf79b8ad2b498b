"""The command that started this process."""

import sys
from pathlib import Path


def command_name() -> str:
    """The command that starts this program, in a clone or installed, for use in messages."""
    return "python main.py" if Path(sys.argv[0]).name == "main.py" else "lit-compacter"
