"""The terminal that everything for users is printed on."""

from rich import get_console

console = get_console()  # of Lightning's progress bar too, so that what is printed stands above the bar
