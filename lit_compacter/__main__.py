"""`python -m lit_compacter` does what `python main.py` does in a clone."""

import sys
from pathlib import Path

# Lightning launches further processes with this file's path. Python then puts this folder first on sys.path, where its
# modules would shadow others with the same names.
PACKAGE = Path(__file__).resolve().parent
sys.path = [str(PACKAGE.parent) if Path(path).resolve() == PACKAGE else path for path in sys.path]

from lit_compacter.cli.main import main as main  # noqa: E402


def console_script() -> None:
    """The command `lit-compacter`. It returns nothing, because a return value would become the exit code."""
    main()


if __name__ == "__main__":
    main()
