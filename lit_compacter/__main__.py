"""`python -m lit_compacter` does what `python main.py` does in a clone."""

import sys
from pathlib import Path

# Lightning launches further processes with this file's path. Python then puts this folder first on sys.path, where its
# modules would shadow others with the same names.
PACKAGE = Path(__file__).resolve().parent
sys.path = [str(PACKAGE.parent) if Path(path).resolve() == PACKAGE else path for path in sys.path]

from lit_compacter.runtime.rank import is_rank_zero  # noqa: E402
from lit_compacter.runtime.signals import handle_stop_signals  # noqa: E402

if sys.stderr.isatty() and is_rank_zero():
    print("loading PyTorch, Lightning and Transformers …", file=sys.stderr)
with handle_stop_signals():  # the next import takes seconds, and a stop signal may arrive meanwhile
    from lit_compacter.cli.main import main as main


def console_script() -> None:
    """The command `lit-compacter`. It returns nothing, because a return value would become the exit code."""
    main()


if __name__ == "__main__":
    main()
