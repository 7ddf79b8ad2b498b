"""The console for all user-facing output."""

from rich import get_console

console = get_console()  # shared with Lightning's progress bar, so that output appears above the bar
