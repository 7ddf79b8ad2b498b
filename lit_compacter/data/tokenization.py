"""Tokenize text pairs, truncate their longest fields, and cache the result."""

import contextlib
import hashlib
import json
import unicodedata
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TypedDict

from huggingface_hub.utils import are_progress_bars_disabled
from transformers import PreTrainedTokenizerBase

from lit_compacter.backbones.tokenizer import tokenizer_fingerprint
from lit_compacter.errors import DISK_FULL

if TYPE_CHECKING:
    import datasets

CACHE_VERSION = 3  # incremented when `tokenize_examples` makes different columns or tokens


class Example(TypedDict):
    """A row as a pair of texts."""

    segments: list[str]  # literals and fields of the input in turn
    targets: list[str]  # right answers; training has one, evaluation all
    idx: Any  # the benchmark's number of the row
    group: int  # rows with the same number belong together
    split: str
    row: int  # number of the row in its split


def tokenize_examples(
    examples: list[Example],
    tokenizer: PreTrainedTokenizerBase,
    max_source_length: int,
    max_target_length: int,
    cache_dir: str | None = None,
) -> "datasets.Dataset":
    """Tokenize the examples, and record what they lose to truncation and to the vocabulary.

    The result is cached, with a key that depends on all arguments. If the cache is not writable, it stays in memory.

    Args:
        examples: The rows as pairs of texts.
        tokenizer: The backbone's tokenizer.
        max_source_length: In tokens, including the end token.
        max_target_length: In tokens, including the end token.
        cache_dir: Folder of the cache. Default: `lit_compacter` in the cache of the datasets library.

    Returns:
        The examples with the columns `input_ids` and `labels`; `length`, the number of source tokens;
        `num_truncated` and `num_target_truncated`, the tokens that were cut from source and target; `num_unknown`,
        the number of <unk> in the source; and `unwritable`, whether the vocabulary cannot express the target.
    """
    import datasets  # half a second, which --help and a wrong option need not wait for

    settings = (CACHE_VERSION, max_source_length, max_target_length, tokenizer_fingerprint(tokenizer))
    key = hashlib.sha256(json.dumps(settings).encode())
    for example in examples:
        key.update(json.dumps(example).encode())
    folder = Path(cache_dir or Path(datasets.config.HF_DATASETS_CACHE) / "lit_compacter")
    path = folder / f"{key.hexdigest()}.arrow"
    if path.exists():
        return datasets.Dataset.from_file(str(path))

    def add_tokens(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        inputs, num_truncated = encode_sources(batch["segments"], tokenizer, max_source_length)
        first = [targets[0] if targets else "" for targets in batch["targets"]]
        return {
            "input_ids": inputs,
            "length": [len(ids) for ids in inputs],
            "num_truncated": num_truncated,
            "num_unknown": [ids.count(tokenizer.unk_token_id) for ids in inputs],
            **encode_targets(first, tokenizer, max_target_length),
        }

    rows = datasets.Dataset.from_list(examples)
    with _progress_bars():
        return rows.map(
            add_tokens,
            batched=True,
            new_fingerprint=path.stem,
            cache_file_name=str(path) if _is_writable(folder) else None,
            desc=f"tokenizing {examples[0]['split']}",
        )


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


def _is_writable(folder: Path) -> bool:
    """Whether files can be written to a folder. Creates the folder if needed; warns if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        warnings.warn(
            f"cannot write to {folder} ({error.strerror}): tokenized rows are kept in memory, and each process "
            "tokenizes them again; give another folder with --data.cache_dir",
            stacklevel=2,
        )
        return False


def digest(data: "datasets.Dataset", *columns: str) -> str:
    """SHA-256 of columns that hold lists of numbers: of every number and the end of each row."""
    key = hashlib.sha256()
    for name in columns:
        chunks = data.data.column(name).chunks
        for part in (*(chunk.value_lengths() for chunk in chunks), *(chunk.flatten() for chunk in chunks)):
            key.update(part.to_numpy())
    return key.hexdigest()


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
    inputs: list[list[int]] = tokenizer(["".join(segments) for segments in rows], verbose=False).input_ids
    too_long = [number for number, ids in enumerate(inputs) if len(ids) > max_length]
    texts = list(dict.fromkeys(segment for number in too_long for segment in rows[number]))  # passages repeat
    encoded = dict(zip(texts, _ids(texts, tokenizer), strict=True))
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
    complete = tokenizer(unique, verbose=False).input_ids
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


def _ids(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return tokenizer(texts, add_special_tokens=False, verbose=False).input_ids if texts else []
