"""The values of a backbone of placeholders, of which each process reads only some rows."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PretrainedConfig, T5ForConditionalGeneration

from lit_compacter.backbones.files import SAFETENSORS, SAFETENSORS_INDEX
from lit_compacter.backbones.loading import build_skeleton, cannot_load, read_backbone
from lit_compacter.backbones.placeholders import is_placeholder, placeholder
from lit_compacter.errors import UserError

NUM_COMPARED = 2**22  # values at a time


@dataclass(frozen=True)
class Part:
    """The part of each frozen tensor that a process holds, as `torch.chunk` divides the rows among all processes.

    Attributes:
        index: Number of the process, from 0.
        count: Number of processes.
    """

    index: int
    count: int

    def rows(self, tensor: Tensor) -> slice:
        """The rows of this part."""
        size = -(-len(tensor) // self.count)
        return slice(min(self.index * size, len(tensor)), min((self.index + 1) * size, len(tensor)))


class Weights(ABC):
    """The values of a stock T5 whose parameters are placeholders.

    Attributes:
        model: That T5. A method may be applied to it that does not read its weights.
    """

    model: T5ForConditionalGeneration

    @abstractmethod
    def rows(self, parameter: Tensor, rows: slice) -> Tensor:
        """Some rows of a parameter of the stock model, in the parameter's type."""

    def read_trained(self) -> None:
        """Give the parameters that are trained, which every process holds whole, their values."""
        for parameter in self.model.parameters():
            if parameter.requires_grad and is_placeholder(parameter):
                parameter.data = self.rows(parameter, slice(0, len(parameter)))


class SafetensorsFiles:
    """The tensors of several safetensors files.

    A file is mapped into memory anew for each access, so that its pages do not count as this process's memory for
    longer. The operating system keeps them for all processes of the machine.

    Args:
        files: The files.

    Attributes:
        shapes: Name of each tensor → its shape.
    """

    def __init__(self, files: list[Path]) -> None:
        self.shapes: dict[str, torch.Size] = {}
        self._files: dict[str, Path] = {}
        for file in files:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118  # not a mapping
                    self.shapes[name] = torch.Size(opened.get_slice(name).get_shape())
                    self._files[name] = file

    def rows(self, name: str, rows: slice, dtype: torch.dtype) -> Tensor:
        """Some rows of a tensor, converted in one step: temporary tensors of other sizes would fragment the memory."""
        with safe_open(self._files[name], framework="pt") as opened:
            return opened.get_slice(name)[rows].to(dtype, copy=True)  # type: ignore[no-any-return]

    def are_equal(self, one: str, other: str) -> bool:
        """Whether two tensors have the same shape and values."""
        shape = self.shapes[one]
        size = max(1, NUM_COMPARED // prod(shape[1:]))
        blocks = (slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size))
        return shape == self.shapes[other] and all(
            torch.equal(*(self.rows(name, block, torch.float32) for name in (one, other))) for block in blocks
        )


class FileWeights(Weights):
    """Weights in safetensors files.

    Args:
        name: The model's name, for messages.
        folder: Its folder.
        files: Its files.
        config: Its config.

    Raises:
        UserError: The weights do not fit the config.
    """

    def __init__(self, name: str, folder: Path, files: SafetensorsFiles, config: PretrainedConfig) -> None:
        self._files = files
        # transformers unties tensors that the config ties if the files have different values for them. Placeholders are
        # never equal, so equal ones must be given once.
        copies = {other for first, other in _tied(config, files.shapes) if files.are_equal(first, other)}
        given = {key: placeholder(shape) for key, shape in files.shapes.items() if key not in copies}
        self.model = read_backbone(name, folder, config, given)
        state = self.model.state_dict(keep_vars=True)
        self._keys = {state[key]: key for key in given.keys() & state.keys()}

    def rows(self, parameter: Tensor, rows: slice) -> Tensor:
        return self._files.rows(self._keys[parameter], rows, parameter.dtype)


def _tied(config: PretrainedConfig, present: Mapping[str, torch.Size]) -> Iterator[tuple[str, str]]:
    """Pairs of present names of one tied parameter: its first with each other."""
    names: dict[Tensor, list[str]] = {}
    for name, parameter in build_skeleton(config).named_parameters(remove_duplicate=False):
        if name in present:
            names.setdefault(parameter, []).append(name)
    return ((first, other) for first, *others in names.values() for other in others)


def open_files(name: str, folder: Path, config: PretrainedConfig) -> FileWeights | None:
    """The weights in a folder's safetensors files; None if its weights have another format.

    Raises:
        UserError: A file is absent or damaged, or the weights do not fit the config.
    """
    if not (paths := _paths(name, folder)):
        return None
    try:
        files = SafetensorsFiles(paths)
    except (SafetensorError, OSError) as error:
        raise cannot_load("", name, folder, error) from error
    return FileWeights(name, folder, files, config)


def _paths(name: str, folder: Path) -> list[Path]:
    if (single := folder / SAFETENSORS).is_file():
        return [single]
    if not (index := folder / SAFETENSORS_INDEX).is_file():
        return []
    try:
        paths = sorted({folder / file for file in json.loads(index.read_text())["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise cannot_load("", name, folder, error) from error
    if absent := [path.name for path in paths if not path.is_file()]:
        raise UserError(
            f"the model {name!r} lacks {absent[0]} ({len(absent)} files in all), which its {SAFETENSORS_INDEX} names; "
            "copy all of its files"
        )
    return paths
