"""The kinds of answers: labels, numbers or free text. Converts a benchmark's labels to target texts and back."""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase

INVALID = -1.0  # the class of an output that is not a label
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # in the digits of any script


class Answer(ABC):
    """A kind of answer. A label is what a row has; a target is the text that the model learns to generate for it."""

    kind: ClassVar[str]

    @abstractmethod
    def parse_label(self, label: Any) -> Any:
        """Parse a label of a file. Returns a plain value, or None if the label is unknown.

        Raises:
            ValueError: The label is not valid; the message is what was expected.
        """

    def parse_hub_label(self, label: Any) -> Any:
        """Convert a label from the hub to the form used in files."""
        return label

    @abstractmethod
    def target_texts(self, label: Any) -> list[str]:
        """All correct target texts; the first is the one to learn."""

    @abstractmethod
    def to_submission(self, text: str) -> Any:
        """Convert a generated text to the benchmark's format; None if it is not a valid answer."""

    @property
    @abstractmethod
    def default_target(self) -> str:
        """The target to fall back on."""

    @property
    @abstractmethod
    def max_tokens_of_any(self) -> int:
        """The most that `max_tokens` is, whatever the tokenizer."""

    def max_tokens(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """Tokens of the longest target including its end token, plus one to tell it from a longer output."""
        return self.max_tokens_of_any


class Valued(Answer):
    """An answer with a numeric value. For free text, metrics compare the text itself."""

    @abstractmethod
    def value(self, text: str) -> float:
        """The number that metrics compare for a generated text; `INVALID`, or `Number.invalid`, if it has none."""


@dataclass(frozen=True)
class Labels(Valued):
    """One of a few labels.

    Attributes:
        names: The labels as files spell them (a JSON true is "true"), in the order of the hub's class ids.
        targets: The target text of each label. Default: its index, as in the paper's code.
        submission_values: The value of each label in the leaderboard's file. Default: `names`.
    """

    names: tuple[str, ...]
    targets: tuple[str, ...] = ()
    submission_values: tuple[Any, ...] = ()
    kind = "labels"

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", self.targets or tuple(str(index) for index in range(len(self.names))))
        object.__setattr__(self, "submission_values", self.submission_values or self.names)

    def parse_label(self, label: Any) -> str | None:
        if label is None or (label in ("", -1, "-1") and plain(label) not in self.names):
            return None
        name = plain(label)
        if name not in self.names:
            raise ValueError(f"one of {', '.join(self.names)}")
        return name

    def parse_hub_label(self, label: int) -> str | None:
        return self.names[label] if label >= 0 else None

    def target_texts(self, label: str | None) -> list[str]:
        return [] if label is None else [self.targets[self.names.index(label)]]

    def value(self, text: str) -> float:
        return self.targets.index(text.strip()) if text.strip() in self.targets else INVALID

    def to_submission(self, text: str) -> Any:
        return self.submission_values[self.targets.index(text.strip())] if text.strip() in self.targets else None

    @property
    def default_target(self) -> str:
        return self.targets[0]

    @property
    def max_tokens_of_any(self) -> int:
        return 3 + max(map(len, self.targets))  # a token for each character and the space before them

    def max_tokens(self, tokenizer: PreTrainedTokenizerBase) -> int:
        return 1 + max(len(ids) for ids in tokenizer(list(self.targets)).input_ids)


@dataclass(frozen=True)
class Number(Valued):
    """A number, written in digits.

    Attributes:
        steps: Number of values per unit, with one decimal: 5 rounds STS-B's scores to the nearest 0.2, as T5 does.
            None: no rounding, 15 digits, which a float64 keeps.
        invalid: The value of an output that is not a number: −1 for STS-B in the paper's code. None: NaN, for which
            metrics use the mean of the others.
    """

    steps: int | None = None
    invalid: float | None = None
    kind = "numbers"

    def parse_label(self, label: Any) -> float | None:
        if label is None or label == "":
            return None
        if (number := _number(label)) is None:
            raise ValueError("a number")
        return number

    def parse_hub_label(self, label: float) -> float | None:
        # STS-B's test set has −1. The hub stores float32: 3.7 must equal the file's 3.7, or ties round differently.
        return None if label == -1 else round(label, 3)

    def target_texts(self, label: float | None) -> list[str]:
        if label is None:
            return []
        return [f"{label:.15g}" if self.steps is None else f"{round(label * self.steps) / self.steps:.1f}"]

    def value(self, text: str) -> float:
        number = _number(text)
        if number is None:
            return math.nan if self.invalid is None else self.invalid
        return number

    def to_submission(self, text: str) -> float | None:
        return _number(text)

    @property
    def default_target(self) -> str:
        return "0"

    @property
    def max_tokens_of_any(self) -> int:
        return 16 if self.steps else 24  # a sign, 15 digits, a point and an exponent, a token each


@dataclass(frozen=True)
class Text(Answer):
    """Free text; one or several are correct."""

    kind = "text"

    def parse_label(self, label: Any) -> list[str] | None:
        texts = [text for text in (label if isinstance(label, list) else [label]) if text not in (None, "")]
        if not all(isinstance(text, str | int | float) for text in texts):
            raise ValueError("a text or a list of texts")
        return [plain(text) for text in texts] or None

    def target_texts(self, label: Sequence[str] | None) -> list[str]:
        return list(label or ())

    def to_submission(self, text: str) -> str:
        return text.strip()

    @property
    def default_target(self) -> str:
        return ""

    @property
    def max_tokens_of_any(self) -> int:
        return 128


def plain(value: Any) -> str:
    """Format a value as JSON, but leave text unchanged: true, 1, a b."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _number(given: Any) -> float | None:
    """Parse a finite number, also from text: -5, −5, 2.5, 1e-3, ١٢. None for 1,000, 1_000, ½, nan or true."""
    if isinstance(given, bool):
        return None
    text = str(given).strip().replace("−", "-")
    number = float(text) if NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None
