"""What an adapter is: the content of adapter_config.json."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from lit_compacter.checkpoints.format import Metadata
from lit_compacter.errors import UserError
from lit_compacter.methods import METHODS, Method, make_method, name_of, plain_options

LIBRARY = "lit-compacter"
FORMAT = 1  # raised when an earlier version cannot read the folder any more
VERSIONS = ("lit-compacter", "torch", "transformers")


@dataclass
class AdapterConfig:
    """What an adapter is.

    Attributes:
        method: The method, with its options.
        base_model: Hub name or folder of the backbone.
        base_model_revision: Commit of the backbone on the hub.
        backbone: Shape and fingerprint of the backbone.
        task: The task that it was trained on.
        inputs: Data options that training and inference share.
        labels: Target text → label, if the task has labels.
        majority_target: The most common training target.
        dataset: Repository of the data set on the hub, and
        dataset_config: its configuration.
        data_revision: Commit of the data set on the hub.
        metrics: Metric → value, as in metrics.json.
    """

    method: Method
    base_model: str | None = None
    base_model_revision: str | None = None
    backbone: dict[str, Any] = field(default_factory=dict)
    task: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    majority_target: str = ""
    dataset: str | None = None
    dataset_config: str | None = None
    data_revision: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_checkpoint(cls, metadata: Metadata) -> "AdapterConfig":
        """What a checkpoint says of its adapter."""
        return cls(
            method=make_method(metadata["method"], metadata["options"]),
            base_model=metadata["model_name"],
            base_model_revision=metadata["model_commit"],
            backbone=metadata["backbone"],
            task=metadata["task"],
            inputs=metadata["inputs"],
            majority_target=metadata["majority_target"],
            data_revision=metadata["data_commit"],
        )

    def to_json(self) -> dict[str, Any]:
        """The content of adapter_config.json."""
        others = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "method"}
        return {
            "library_name": LIBRARY,
            "format": FORMAT,
            "method": name_of(type(self.method)),
            "options": plain_options(dataclasses.asdict(self.method)),  # type: ignore[call-overload]
            **others,
            "versions": {name: version(name) for name in VERSIONS},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> "AdapterConfig":
        """Read the content of adapter_config.json.

        Args:
            content: The content.
            where: The file, for messages.

        Raises:
            UserError: It is of another library or format, or names an unknown method.
        """
        if content.get("library_name") != LIBRARY:
            raise UserError(f"{where} was not written by {LIBRARY}")
        if content.get("format") != FORMAT:
            raise UserError(f"{where} has format {content.get('format')}, this version reads format {FORMAT}")
        if content["method"] not in METHODS:
            raise UserError(f"{where} has method {content['method']!r}; expected one of {', '.join(METHODS)}")
        others = {f.name: content[f.name] for f in dataclasses.fields(cls) if f.name != "method"}
        return cls(make_method(content["method"], content["options"]), **others)
