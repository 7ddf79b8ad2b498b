"""A run's checkpoint as an adapter folder, and on the hub."""

import json
import shutil
from pathlib import Path
from typing import Literal, TypeAlias

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.exporters import write_adapterhub, write_peft
from lit_compacter.adapters.folder import CARD, CONFIG, TENSORS, write_adapter
from lit_compacter.checkpoints.format import METADATA_KEY, Metadata
from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.checkpoints.paths import BEST, CHECKPOINTS, LAST
from lit_compacter.errors import UserError
from lit_compacter.hub.diagnosis import diagnose
from lit_compacter.methods import METHODS, FullFineTuning, name_of
from lit_compacter.tasks import TASKS
from lit_compacter.tasks.answers import Labels
from lit_compacter.utils.run_files import BEST_SCORE, CURVE, METRICS, SCORE

Format: TypeAlias = Literal["lit-compacter", "adapterhub", "peft"]
WRITERS = {"adapterhub": write_adapterhub, "peft": write_peft}


def export_checkpoint(
    checkpoint: str, output: Path, hub_name: str | None = None, file_format: Format = "lit-compacter"
) -> None:
    """Write the adapter of a checkpoint to a folder, with the metrics and the learning curve of its run.

    Args:
        checkpoint: The checkpoint.
        output: A new or empty folder.
        hub_name: The name that the adapter gets on the hub, for its model card.
        file_format: The library that is to load it.

    Raises:
        UserError: The folder is not empty, or the checkpoint has no adapter.
    """
    content = read_checkpoint(checkpoint)
    metadata = content[METADATA_KEY]
    if metadata["method"] not in METHODS or metadata["method"] == name_of(FullFineTuning):
        raise UserError(
            f"{checkpoint} has method {metadata['method']}; expected an adapter, one of "
            f"{', '.join(name for name in METHODS if name != name_of(FullFineTuning))}"
        )
    if output.exists() and any(output.iterdir()):
        raise UserError(f"the folder {output} is not empty; give another --output")
    config = _describe(metadata)
    path = Path(checkpoint).resolve()
    run_dir = path.parents[1] if path.parent.name == CHECKPOINTS else None
    if run_dir is not None:
        config.metrics = checkpoint_metrics(run_dir, path.name)
    output.mkdir(parents=True, exist_ok=True)
    state = {name.removeprefix("model."): tensor for name, tensor in content["state_dict"].items()}
    if file_format != "lit-compacter":
        WRITERS[file_format](output, config, state)
        return
    if run_dir is not None and (curve := run_dir / CURVE).exists():
        shutil.copy(curve, output / CURVE)
    write_adapter(output, config, state, hub_name)


def _describe(metadata: Metadata) -> AdapterConfig:
    """What a checkpoint and its task say of the adapter."""
    config = AdapterConfig.of_checkpoint(metadata)
    task = TASKS.get(metadata["task"])
    if task is not None and isinstance(task.answer, Labels):
        config.labels = dict(zip(task.answer.targets, task.answer.names, strict=True))
    if task is not None and task.hub is not None:
        config.dataset, config.dataset_config = task.hub.repository, task.hub.name
    return config


def checkpoint_metrics(run_dir: Path, name: str) -> dict[str, float]:
    """The metrics of best.ckpt or last.ckpt in metrics.json, where `val/…` are of the last epoch.

    Those of test are of best.ckpt, if there is one.
    """
    if not (run_dir / METRICS).exists():
        return {}
    values = json.loads((run_dir / METRICS).read_text())
    has_best = (run_dir / CHECKPOINTS / BEST).exists()
    tests = {key: value for key, value in values.items() if key.startswith("test/")}
    if name == BEST:
        return tests | ({SCORE: values[BEST_SCORE]} if BEST_SCORE in values else {})
    if name != LAST:
        return {}
    last = {key: value for key, value in values.items() if key.startswith("val/") and key != BEST_SCORE}
    return last | ({} if has_best else tests)


def push_to_hub(folder: Path, hub_name: str, private: bool = False) -> str:
    """Upload an adapter's folder.

    Args:
        folder: The folder.
        hub_name: `ORG/NAME`.
        private: Whether a new repository is private.

    Returns:
        Its address.

    Raises:
        UserError: The hub refuses, or the repository exists and holds something else than an adapter of ours.
    """
    hub = HfApi()
    try:
        hub.create_repo(hub_name, private=private, exist_ok=True)
        existing = {file.rfilename for file in hub.model_info(hub_name).siblings or ()} - {".gitattributes", CARD}
        if existing - {CONFIG, TENSORS, CURVE}:
            raise UserError(f"the repository {hub_name} holds other files, such as {min(existing)}; give another name")
        hub.upload_folder(repo_id=hub_name, folder_path=folder, commit_message="Upload adapter")
    except HfHubHTTPError as error:
        reason, advice = diagnose("model", hub_name, "main", error)
        raise UserError(f"cannot upload to {hub_name}: {reason}; {advice}") from error
    return f"{hub.endpoint}/{hub_name}"
