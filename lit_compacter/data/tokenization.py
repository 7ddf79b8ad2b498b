"""Tokenize text pairs, truncate their longest fields, and cache the result."""

import contextlib
import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from huggingface_hub.utils import are_progress_bars_disabled
from transformers import PreTrainedTokenizerBase

from lit_compacter.backbones.tokenizer import tokenizer_fingerprint
from lit_compacter.data.rows import COLUMNS as ROW_COLUMNS
from lit_compacter.data.rows import Rows, cache_folder, is_writable

if TYPE_CHECKING:
    import datasets

CACHE_VERSION = 4  # incremented when `Encoder` makes different columns or tokens
TEXT_COLUMNS = ("segments", "targets", "idx", "group", "split", "row")


@dataclass(frozen=True)
class Encoder:
    """Makes examples of rows: their texts and tokens, and what they lose to truncation and to the vocabulary.

    Attributes:
        tokenizer: The backbone's tokenizer.
        max_source_length: In tokens, including the end token.
        max_target_length: In tokens, including the end token.
        split: Value of the column `split`.
        first_row: Number of the first row; the others are counted from it.
        one_target: Whether to make an example of each correct target, for training. Otherwise an example has all of
            them, and the first is tokenized.
    """

    tokenizer: PreTrainedTokenizerBase
    max_source_length: int
    max_target_length: int
    split: str
    first_row: int = 0
    one_target: bool = False

    def __call__(self, rows: dict[str, list[Any]], places: Sequence[int]) -> dict[str, list[Any]]:
        """Make the examples of a batch of rows.

        Args:
            rows: The columns of `load_rows`.
            places: Of the rows in their split.

        Returns:
            The columns `segments`, `targets`, `idx`, `group`, `split` and `row`; `input_ids` and `labels`; `length`,
            the number of source tokens; `num_truncated` and `num_target_truncated`, the tokens that were cut from
            source and target; `num_unknown`, the number of <unk> in the source; and `unwritable`, whether the
            vocabulary cannot express the target.
        """
        examples = [
            (segments, answers, idx, row if group is None else group, self.split, row)
            for segments, targets, idx, group, row in zip(
                *(rows[name] for name in ROW_COLUMNS), (self.first_row + place for place in places), strict=True
            )
            for answers in ([[target] for target in targets] if self.one_target else [targets])
        ]
        columns = dict(zip(TEXT_COLUMNS, map(list, zip(*examples, strict=True)), strict=True))
        inputs, num_truncated = encode_sources(columns["segments"], self.tokenizer, self.max_source_length)
        first = [targets[0] if targets else "" for targets in columns["targets"]]
        return {
            **columns,
            "input_ids": inputs,
            "length": [len(ids) for ids in inputs],
            "num_truncated": num_truncated,
            "num_unknown": [ids.count(self.tokenizer.unk_token_id) for ids in inputs],
            **encode_targets(first, self.tokenizer, self.max_target_length),
        }

    def cache_key(self, rows: Rows) -> str:
        """Identifies the examples of `rows`."""
        settings = [getattr(self, field.name) for field in fields(self) if field.name != "tokenizer"]
        content = json.dumps([CACHE_VERSION, *settings, tokenizer_fingerprint(self.tokenizer), rows.key])
        return hashlib.blake2b(content.encode() + rows.numbers.tobytes(), digest_size=16).hexdigest()


def tokenize_rows(
    rows: Rows, encoder: Encoder, cache_dir: str | None = None, num_proc: int | None = None
) -> "datasets.Dataset":
    """Make the examples of rows, or take them from the cache. If it is not writable, they stay in memory.

    Args:
        rows: The rows of a split.
        encoder: Makes the examples.
        cache_dir: Folder of the cache. Default: `lit_compacter` in the cache of the datasets library.
        num_proc: Number of processes. Default: this process, in which a fast tokenizer uses several threads.

    Returns:
        The examples, with the columns of `Encoder`.
    """
    folder, key = cache_folder(cache_dir), encoder.cache_key(rows)

    def tokenize(path: Path | None) -> "datasets.Dataset":
        """Make the examples, or read the files at `path`, which has a suffix for each process."""
        return rows.chosen.map(
            encoder,
            batched=True,
            with_indices=True,
            num_proc=num_proc,
            new_fingerprint=key,
            cache_file_name=None if path is None else str(path),
            keep_in_memory=path is None,
            load_from_cache_file=True,
            desc=f"tokenizing {encoder.split}",
        )

    with _progress_bars():
        path = folder / f"tokens-{key}.arrow"
        if not list(folder.glob(f"{path.stem}*")):
            if not is_writable(folder):
                return tokenize(None)
            with TemporaryDirectory(dir=folder) as unfinished:  # datasets would leave its part if the disk is full
                tokenize(Path(unfinished) / path.name)
                for file in Path(unfinished).iterdir():
                    file.replace(folder / file.name)
        return tokenize(path)


def encode_rows(rows: Sequence[Mapping[str, Any]], encoder: Encoder, first_row: int) -> "datasets.Dataset":
    """Make the examples of rows in memory, of which the first has the number `first_row`."""
    import datasets

    columns = {name: [row[name] for row in rows] for name in ROW_COLUMNS}
    return datasets.Dataset.from_dict(encoder(columns, range(first_row, first_row + len(rows))))


@contextlib.contextmanager
def _progress_bars() -> Iterator[None]:
    """Show no progress bar of datasets where those of huggingface_hub are disabled, as on the command line."""
    import datasets

    disables = are_progress_bars_disabled() and not datasets.are_progress_bars_disabled()
    if disables:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if disables:
            datasets.enable_progress_bars()


def encode_sources(
    rows: list[list[str]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[list[list[int]], list[int]]:
    """Encode inputs as at most `max_length` tokens.

    The longest fields of a longer input are truncated to a common length, so that the question before a passage and the
    fields after it are kept. If no field is left, the whole input is truncated.

    Args:
        rows: Literals and fields in turn, as `Template.segments` returns them.
        tokenizer: The tokenizer of a T5, which appends one end token.
        max_length: In tokens, including the end token.

    Returns:
        Token ids, and the number of tokens that each row lost.
    """
    inputs = _ids(["".join(segments) for segments in rows], tokenizer)
    too_long = [number for number, ids in enumerate(inputs) if len(ids) > max_length]
    texts = list(dict.fromkeys(segment for number in too_long for segment in rows[number]))  # passages repeat
    encoded = dict(zip(texts, _ids(texts, tokenizer, add_special_tokens=False), strict=True))
    num_truncated = [0] * len(rows)
    for number in too_long:
        segments = [encoded[segment] for segment in rows[number]]
        literals, fields = segments[::2], segments[1::2]
        length = common_length([len(field) for field in fields], max_length - 1 - sum(map(len, literals)))
        shorter = [ids if index % 2 == 0 else ids[:length] for index, ids in enumerate(segments)]
        kept = [*list(chain.from_iterable(shorter))[: max_length - 1], tokenizer.eos_token_id]
        num_truncated[number] = len(inputs[number]) - len(kept)
        inputs[number] = kept
    return inputs, num_truncated


def encode_targets(texts: list[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
    """The columns `labels`, `num_target_truncated` and `unwritable`. An unknown target is an empty text."""
    unique = list(dict.fromkeys(texts))  # labels repeat
    complete = _ids(unique, tokenizer)
    decoded = tokenizer.batch_decode(complete, skip_special_tokens=True)
    encoded = {}
    for text, ids, back in zip(unique, complete, decoded, strict=True):
        kept = ids if len(ids) <= max_length else [*ids[: max_length - 1], tokenizer.eos_token_id]
        unwritable = _without_spaces(back) != _without_spaces(text) or bool(text and not back.strip())
        encoded[text] = kept, len(ids) - len(kept), unwritable
    columns = zip(*(encoded[text] for text in texts), strict=True)
    return dict(zip(("labels", "num_target_truncated", "unwritable"), map(list, columns), strict=True))


def _without_spaces(text: str) -> str:
    """Remove spaces and normalize character forms, as every tokenizer does. Line breaks and tabs stay."""
    return unicodedata.normalize("NFKC", text.strip()).replace(" ", "")


def common_length(lengths: list[int], room: int) -> int:
    """The largest c with Σ min(length, c) ≤ room; 0 if there is no room."""
    for index, length in enumerate(sorted(lengths)):
        share = max(0, room) // (len(lengths) - index)
        if length > share:
            return share
        room -= length
    return max(lengths)


def _ids(texts: list[str], tokenizer: PreTrainedTokenizerBase, add_special_tokens: bool = True) -> list[list[int]]:
    """The tokens of texts, without truncation. A fast tokenizer need not also find where each token is in the text."""
    if not texts or not tokenizer.is_fast:
        return tokenizer(texts, add_special_tokens=add_special_tokens, verbose=False).input_ids if texts else []
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # a tokenizer.json may have it
    backend.no_padding()
    encoded = backend.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
    return [encoding.ids for encoding in encoded]
