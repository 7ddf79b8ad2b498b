"""Divide the frozen tensors of a T5 among the processes, with or without holding them whole before."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.placeholders import is_placeholder
from lit_compacter.backbones.t5 import blocks, weight_hosts
from lit_compacter.backbones.weights import Part, Weights


def shard(
    model: T5ForConditionalGeneration, mesh: DeviceMesh, whole: set[nn.Parameter], weights: Weights | None, part: Part
) -> None:
    """Shard the blocks, then the rest of the model, in place.

    Args:
        model: The model, after a method has been applied to it.
        mesh: The processes, in one dimension.
        whole: The parameters that every process keeps whole.
        weights: Where the values of placeholders come from; None if there are none.
        part: The part of this process.
    """
    sources = {name: parameter for name, parameter in model.named_parameters() if is_placeholder(parameter)}
    for parameter, hosts in weight_hosts(model):
        if is_placeholder(parameter):  # which fully_shard does not take
            empty = torch.empty(parameter.shape, dtype=parameter.dtype, device="meta")
            _replace(hosts, parameter, nn.Parameter(empty, requires_grad=False))
    for module in (*blocks(model), model):
        fully_shard(module, mesh=mesh, ignored_params=whole)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for parameter, hosts in weight_hosts(model):
        if weights is not None and (source := sources.get(names[parameter])) is not None:
            local = weights.rows(source, part.rows(source)).to(mesh.device_type)
            _replace(hosts, parameter, _with_values(parameter, local))


def _with_values(parameter: nn.Parameter, local: torch.Tensor) -> nn.Parameter:
    """A sharded parameter like `parameter`, with these values in this process."""
    assert isinstance(parameter, DTensor)
    layout = parameter.device_mesh, parameter.placements
    shape, stride = parameter.shape, parameter.stride()
    tensor = DTensor.from_local(local, *layout, run_check=False, shape=shape, stride=stride)
    return nn.Parameter(tensor, requires_grad=False)


def _replace(hosts: Iterable[nn.Module], old: nn.Parameter, new: nn.Parameter) -> None:
    """Replace a parameter in all modules that use it, so that a tied one stays tied."""
    for host in hosts:
        for name, parameter in list(host.named_parameters(recurse=False)):
            if parameter is old:
                setattr(host, name, new)
