"""The tokenizer of a backbone."""

import json
from functools import lru_cache
from pathlib import Path

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from lit_compacter.backbones.files import model_folder
from lit_compacter.backbones.loading import cannot_load
from lit_compacter.errors import UserError


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model on the hub or in a folder.

    Raises:
        UserError: There is none at `name`.
    """
    return _read_tokenizer(name, model_folder(name, revision))


@lru_cache(maxsize=4)
def _read_tokenizer(name: str, folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)  # otherwise transformers prompts
    except Exception as error:  # transformers' readers raise many types
        raise cannot_load("the tokenizer of ", name, folder, error) from error
    if not tokenizer.get_vocab().keys() - {*tokenizer.all_special_tokens, "▁"}:  # made without files
        raise UserError(f"the tokenizer of the model {name!r} is absent: there is no tokenizer.json or spiece.model")
    return tokenizer  # type: ignore[no-any-return]


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> None:
    """Raise UserError if the model lacks tokens of the tokenizer, or its padding or end token differs."""
    largest = max(tokenizer.get_vocab().values())
    found = {"vocab_size": largest + 1, "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    for name, value in found.items():
        expected = getattr(config, name)
        fits = value <= expected if name == "vocab_size" else value == expected
        if not fits:
            raise UserError(
                f"the tokenizer does not fit the model: its {name} is {value}, the model's {expected}; "
                "give --model.model_name a folder that holds both as they were published"
            )


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Describe a tokenizer's behavior as text. Resets the settings of its last call, which each call sets anew."""
    if not tokenizer.is_fast:  # ByT5's
        return f"{type(tokenizer).__name__} {json.dumps(tokenizer.get_vocab())}"
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())
