"""The terminal that everything for users is printed on."""

from rich.console import Console

console = Console()
