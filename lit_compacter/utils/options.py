"""Values of options as the parser returns them."""

import dataclasses
from typing import Any


def make_plain(options: Any) -> None:
    """Replace the parser's restricted number types in a dataclass by int and float.

    They would end up in checkpoints, which hold plain values only.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for kind in (int, float):
            if isinstance(value, kind) and not isinstance(value, bool):
                setattr(options, field.name, kind(value))
