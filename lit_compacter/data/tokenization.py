"""From pairs of texts to tokens: what is too long is cut where it hurts least, and the result is cached."""

import contextlib
import hashlib
import json
import unicodedata
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import pyarrow
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from lit_compacter.errors import UserError, cannot_load

VERSION = 2  # of what `tokenised` does: another one makes new tokens

# pieces: list[str], targets: list[str], idx, group: int, split: str, row: int (its place among the rows)
Example: TypeAlias = dict[str, Any]


def tokenised(
    examples: list[Example], tokenizer: PreTrainedTokenizerBase, max_source_length: int, max_target_length: int
) -> datasets.Dataset:
    """The examples as tokens: `input_ids` and `labels`, and what was lost.

    `length` is that of the input in tokens, `cut` how many were cut from it, `unknown` how many of it are <unk>;
    `target_cut` is how many tokens were cut from the target, `unwritable` whether the vocabulary does not give it back.
    Tokens are cached by what they are made from, so a changed row, task or tokenizer makes new ones.
    """
    key = hashlib.sha256(f"{VERSION} {tokenizer_key(tokenizer)} {max_source_length} {max_target_length}".encode())
    for example in examples:
        key.update(json.dumps(example).encode())
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "lit_compacter"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key.hexdigest()}.arrow"
    if (cached := _cached(path, len(examples))) is not None:
        return cached

    def tokenise(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        inputs, cut = source_ids(batch["pieces"], tokenizer, max_source_length)
        first = [targets[0] if targets else "" for targets in batch["targets"]]
        return {
            "input_ids": inputs,
            "length": [len(ids) for ids in inputs],
            "cut": cut,
            "unknown": [ids.count(tokenizer.unk_token_id) for ids in inputs],
            **target_ids(first, tokenizer, max_target_length),
        }

    rows = datasets.Dataset.from_list(examples)
    return rows.map(
        tokenise,
        batched=True,
        new_fingerprint=path.stem,
        cache_file_name=str(path),
        desc=f"tokenising {examples[0]['split']}",
    )


def _cached(path: Path, rows: int) -> datasets.Dataset | None:
    """What the cache has; of a file that is not whole nothing, and the file goes."""
    if not path.exists():
        return None
    with contextlib.suppress(pyarrow.ArrowException, OSError):
        cached = datasets.Dataset.from_file(str(path))
        if len(cached) == rows:
            return cached
    path.unlink(missing_ok=True)
    return None


def digest(data: datasets.Dataset, *columns: str) -> str:
    """A fingerprint of columns that hold lists of numbers: of every number and where each row ends."""
    key = hashlib.sha256()
    for name in columns:
        chunks = data.data.column(name).chunks
        for part in (*(chunk.value_lengths() for chunk in chunks), *(chunk.flatten() for chunk in chunks)):
            key.update(part.to_numpy())
    return key.hexdigest()


def source_ids(
    rows: list[list[str]], tokenizer: PreTrainedTokenizerBase, limit: int
) -> tuple[list[list[int]], list[int]]:
    """Inputs of at most `limit` tokens.

    Of one that is longer, the longest fields lose their end, down to a common length, so that the question before a
    passage and the fields after it survive; where no field is left, the whole loses its end.

    Args:
        rows: Literals and fields in turn, as `Template.pieces` gives them.
        tokenizer: Of a T5: it adds one token, at the end.
        limit: Tokens, the end included.

    Returns:
        Token ids, and how many tokens each row lost.
    """
    inputs: list[list[int]] = tokenizer(["".join(pieces) for pieces in rows], verbose=False).input_ids
    long = [number for number, ids in enumerate(inputs) if len(ids) > limit]
    texts = list(dict.fromkeys(piece for number in long for piece in rows[number]))  # a passage comes many times
    known = dict(zip(texts, _ids(texts, tokenizer), strict=True))
    cut = [0] * len(rows)
    for number in long:
        pieces = [known[piece] for piece in rows[number]]
        literals, fields = pieces[::2], pieces[1::2]
        length = common_length([len(field) for field in fields], limit - 1 - sum(map(len, literals)))
        shorter = [ids if place % 2 == 0 else ids[:length] for place, ids in enumerate(pieces)]
        kept = [*list(chain.from_iterable(shorter))[: limit - 1], tokenizer.eos_token_id]
        cut[number] = len(inputs[number]) - len(kept)
        inputs[number] = kept
    return inputs, cut


def target_ids(texts: list[str], tokenizer: PreTrainedTokenizerBase, limit: int) -> dict[str, list[Any]]:
    """`labels`, `target_cut` and `unwritable` of the targets, an empty one for a row of which none is known."""
    different = list(dict.fromkeys(texts))  # labels come many times
    whole = tokenizer(different, verbose=False).input_ids
    back = tokenizer.batch_decode(whole, skip_special_tokens=True)
    known = {}
    for text, ids, written in zip(different, whole, back, strict=True):
        kept = ids if len(ids) <= limit else [*ids[: limit - 1], tokenizer.eos_token_id]
        lost = _without_spaces(written) != _without_spaces(text) or bool(text and not written.strip())
        known[text] = kept, len(ids) - len(kept), lost
    columns = zip(*(known[text] for text in texts), strict=True)
    return dict(zip(("labels", "target_cut", "unwritable"), map(list, columns), strict=True))


def _without_spaces(text: str) -> str:
    """A text without what every tokenizer normalises: forms of characters, and spaces. Line breaks and tabs count."""
    return unicodedata.normalize("NFKC", text.strip()).replace(" ", "")


def common_length(lengths: list[int], room: int) -> int:
    """The largest c for which Σ min(length, c) ≤ room; 0 where there is no room."""
    for index, length in enumerate(sorted(lengths)):
        share = max(0, room) // (len(lengths) - index)
        if length > share:
            return share
        room -= length
    return max(lengths)


def _ids(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return tokenizer(texts, add_special_tokens=False, verbose=False).input_ids if texts else []


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> None:
    """Raise UserError where the tokenizer has tokens that the model has not, or ends and pads with others."""
    largest = max(tokenizer.get_vocab().values())
    theirs = {"vocab_size": largest + 1, "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    for name, value in theirs.items():
        of_model = getattr(config, name)
        fits = value <= of_model if name == "vocab_size" else value == of_model
        if not fits:
            raise UserError(
                f"the tokenizer does not fit the model: its {name} is {value}, the model's {of_model}; "
                "give --model.model_name a folder that holds both as they were published"
            )


@lru_cache(maxsize=4)
def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model on the hub or in a folder.

    Raises:
        UserError: There is none at `name`.
    """
    if (name[:1] in ("/", ".", "~") or name.count("/") > 1) and not Path(name).is_dir():
        raise UserError(f"no folder {name!r} (model.model_name); expected a model's folder or its name on the hub")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)  # else transformers asks, and waits
    except Exception as error:  # transformers raises whatever its readers stumble over
        raise cannot_load("the tokenizer of ", name, error) from error
    if not tokenizer.get_vocab().keys() - {*tokenizer.all_special_tokens, "▁"}:  # what transformers makes of no files
        raise UserError(f"the tokenizer of the model {name!r} is absent: there is no tokenizer.json or spiece.model")
    return tokenizer  # type: ignore[no-any-return]


def tokenizer_key(tokenizer: PreTrainedTokenizerBase) -> str:
    """What a tokenizer does, as text: its tokens are cached by it."""
    if not tokenizer.is_fast:  # ByT5's
        return f"{type(tokenizer).__name__} {json.dumps(tokenizer.get_vocab())}"
    settings_of_the_last_call = {"truncation": None, "padding": None}
    return json.dumps(json.loads(tokenizer.backend_tokenizer.to_str()) | settings_of_the_last_call)
