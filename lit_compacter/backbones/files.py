"""The files of a model: in a folder, or on the hub."""

from pathlib import Path

from lit_compacter.errors import UserError
from lit_compacter.hub.repository import Repository, find_repository

CONFIG = (("config.json",),)
TOKENIZER = (("tokenizer.json",), ("spiece.model",), ("tokenizer_config.json",))  # the last is ByT5's
TOKENIZER_SETTINGS = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "*.model")
SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
WEIGHTS = (
    (SAFETENSORS,),
    (SAFETENSORS_INDEX, "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
)


def model_folder(name: str, revision: str | None = None, weights: bool = False) -> Path:
    """The folder with a model's config and tokenizer. Files on the hub are downloaded unless they are cached.

    Args:
        name: Hub name or folder.
        revision: Branch, tag or commit on the hub. Default: the main branch.
        weights: Whether the weights are needed too.

    Raises:
        UserError: There is no such folder, or the hub and the cache do not have the files.
    """
    repository = find_model(name, revision)
    if repository is None:
        return Path(name)
    required = (CONFIG, TOKENIZER, WEIGHTS) if weights else (CONFIG, TOKENIZER)
    return repository.download(*required, optional=TOKENIZER_SETTINGS)


def model_commit(name: str, revision: str | None) -> str | None:
    """The commit that `model_folder` takes the files from; None for a local folder."""
    repository = find_model(name, revision)
    return repository.commit if repository else None


def find_model(name: str, revision: str | None) -> Repository | None:
    """The model's repository; None for a folder.

    Raises:
        UserError: `name` is neither a folder nor a repository.
    """
    if Path(name).is_dir():
        return None
    if name[:1] in ("/", ".", "~") or name.count("/") > 1:
        raise UserError(f"no folder {name!r} (model.model_name); expected a model's folder or its name on the hub")
    return find_repository("model", name, revision)
