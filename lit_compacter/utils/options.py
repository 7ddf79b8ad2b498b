"""Options as config files and the parser have them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

CLASS = "class_path"  # of a class with options, in a config


def make_plain(options: Any) -> None:
    """Replace the parser's restricted number types in a dataclass by int and float.

    They would end up in checkpoints, which hold plain values only.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for kind in (int, float):
            if isinstance(value, kind) and not isinstance(value, bool):
                setattr(options, field.name, kind(value))


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted name → value of a config. A class with its options stays one value."""
    options: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict) and CLASS not in value:
            options |= flatten(value, f"{prefix}{name}.")
        else:
            options[f"{prefix}{name}"] = value
    return options
