"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """Something in the command line, a config, a data file or a checkpoint is wrong.

    The message is one line that says what was wrong, what was expected and what to do. `main.py` prints it without a
    traceback and exits with code 2 (`--debug` shows the traceback); every other exception is a defect of ours.
    """
