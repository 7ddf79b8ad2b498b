"""Report what the rows lose to truncation and to the vocabulary, and refuse rows that cannot be learned from."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_compacter.data.columns import numbers
from lit_compacter.errors import UserError

if TYPE_CHECKING:
    import datasets

MAX_SEARCHED = 100  # rows that are searched for examples of unknown characters
MISSING_CHARACTERS = "the model's vocabulary lacks their characters: use a model that has them, such as mT5 or ByT5"
MAX_CHARACTERS = 5  # shown as examples
EXCERPT = 30  # characters of a text to show


def check_labels(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_target_length: int) -> None:
    """Raise UserError if the model could not generate a label: the vocabulary lacks it, or it would be truncated."""
    lengths = [len(ids) for ids in tokenizer(list(texts), verbose=False).input_ids]
    for text, length in zip(texts, lengths, strict=True):
        back = tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True)
        if back.strip() != text:
            raise UserError(
                f"the model's vocabulary cannot express the label {text!r}: it comes back as {back!r}; "
                "choose labels with other characters"
            )
        if length > max_target_length:
            raise UserError(
                f"the label {text!r} has {length} tokens, its end included, and would be cut to "
                f"{max_target_length} (data.max_target_length): give {max(lengths)} or more, or leave the option out"
            )


def check_learnable(rows: "datasets.Dataset", tokenizer: PreTrainedTokenizerBase, max_target_length: int) -> None:
    """Refuse training rows from which nothing could be learned.

    Raises:
        UserError: After tokenization, all targets are empty, or different targets are all the same, or different inputs
            are all the same because the vocabulary lacks their characters.
    """
    num_truncated = numbers(rows, "num_target_truncated")
    if np.all(numbers(rows, "unwritable") | (num_truncated > 0)):
        left, first = _only_text(rows["labels"], tokenizer), rows[0]["targets"]
        if left == "" or (left and any(targets != first for targets in rows["targets"])):
            cut = f"they are cut to {max_target_length} tokens (data.max_target_length)"
            raise _nothing_to_learn("targets", first[0], left, cut if num_truncated.any() else MISSING_CHARACTERS)
    if np.all(numbers(rows, "num_unknown") > 0) and (left := _only_text(rows["input_ids"], tokenizer)) is not None:
        first = rows[0]["segments"]
        if any(segments != first for segments in rows["segments"]):
            raise _nothing_to_learn("inputs", "".join(first), left, MISSING_CHARACTERS)


def _only_text(column: Iterable[list[int]], tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The decoded text that all rows of a column share, without spaces; None if they differ."""
    texts = ("".join(tokenizer.decode(ids, skip_special_tokens=True).split()) for ids in column)
    first = next(texts)
    return first if all(text == first for text in texts) else None


def _nothing_to_learn(what: str, example: str, left: str, cause: str) -> UserError:
    become = "the same" if left else "empty"
    return UserError(
        f"nothing can be learned: the training {what}, such as {_excerpt(example)}, are all {become} as tokens; {cause}"
    )


def describe_losses(
    rows: "datasets.Dataset", tokenizer: PreTrainedTokenizerBase, max_source_length: int, max_target_length: int
) -> list[str]:
    """Describe what the rows lose to truncation and to the vocabulary, one line each; the first is about long inputs.

    For example `12 (3.0 %) are longer than 128 tokens and lose the end of their longest fields`.
    """
    lines = [f"none is longer than {max_source_length} tokens"]
    if cut := int(np.count_nonzero(numbers(rows, "num_truncated"))):
        ends = "lose the end of their longest fields"
        lines = [f"{_share(cut, rows)} are longer than {max_source_length} tokens and {ends}"]
    if len(unknown := np.flatnonzero(numbers(rows, "num_unknown"))):
        texts = ("".join(segments) for segments in rows[unknown[:MAX_SEARCHED]]["segments"])
        lacking = ", ".join(map(repr, unknown_characters(texts, tokenizer)))
        lines.append(
            f"{_share(len(unknown), rows)} have characters that the model's vocabulary lacks and reads as "
            f"{tokenizer.unk_token}{lacking and f', such as {lacking}'}"
        )
    if cut := int(np.count_nonzero(numbers(rows, "num_target_truncated"))):
        lines.append(f"{_share(cut, rows)} have targets longer than {max_target_length} tokens, which lose their end")
    if len(unwritable := np.flatnonzero(numbers(rows, "unwritable"))):
        target = rows[int(unwritable[0])]["targets"][0]
        back = tokenizer.decode(tokenizer(target, verbose=False).input_ids, skip_special_tokens=True)
        example = f"{_excerpt(target, back)} comes back as {_excerpt(back, target)}"
        lines.append(f"{_share(len(unwritable), rows)} have targets that the model cannot express: {example}")
    return lines


def unknown_characters(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The most common characters of the texts that are not in the vocabulary."""
    common = [character for character, _ in Counter("".join(texts)).most_common()]
    alone = tokenizer(common, add_special_tokens=False).input_ids if common else []
    missing = (one for one, ids in zip(common, alone, strict=True) if tokenizer.unk_token_id in ids)
    return list(islice(missing, MAX_CHARACTERS))


def _share(count: int, rows: "datasets.Dataset") -> str:
    return f"{count:,} ({100 * count / len(rows):.1f} %)"


def _excerpt(text: str, other: str = "") -> str:
    """An excerpt of a text, from a little before the place where it differs from `other`."""
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, same - EXCERPT // 3)
    end = start + EXCERPT
    return repr("…" * (start > 0) + text[start:end] + "…" * (end < len(text)))
