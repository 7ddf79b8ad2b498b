"""For models larger than one device: shard the frozen backbone and replicate the trainable parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from lit_compacter.backbones.sharded import shard
from lit_compacter.backbones.t5 import blocks
from lit_compacter.backbones.weights import Part
from lit_compacter.errors import UserError
from lit_compacter.module import T5Module
from lit_compacter.utils.console import console


class ShardedBackbone(DDPStrategy):
    """`--trainer.strategy sharded`: fully sharded data parallel (FSDP2) for tensors that no checkpoint holds.

    The trainable parameters, about a thousandth of the model, are replicated on every process, and their gradients are
    averaged here. Checkpoints are therefore the same as with any other strategy. Each process reads only its part of
    the frozen tensors, if the model has safetensors files and the method does not read the weights.

    Args:
        reshard_after_forward: Whether to free each gathered block after its forward pass in evaluation too. False
            gathers the blocks once for all tokens of an evaluation, if the device has room for the whole backbone. In
            training, blocks are always freed: where the whole backbone has room, strategy ddp is faster.
        **options: Those of Lightning's DDPStrategy.
    """

    def __init__(self, reshard_after_forward: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.reshard_after_forward = reshard_after_forward

    @contextmanager
    def model_sharded_context(self) -> Iterator[None]:
        """Within it, the module builds its model without the frozen weights.

        Raises:
            UserError: The weights are quantized.
        """
        module = self._module
        if module.options.quantization is not None:
            raise UserError(
                "strategy sharded cannot shard quantized weights: use --trainer.strategy ddp, or remove "
                "--model.quantization"
            )
        module.part = Part(self.global_rank, self.world_size)
        yield

    def model_to_device(self) -> None:
        """Shard the blocks, then move the module to the device.

        Raises:
            UserError: The method trains everything, so nothing is left to shard.
        """
        module = self._module
        assert module.model is not None and module.part is not None
        whole = {parameter for name, parameter in module.named_parameters() if name in module.saved_names}
        if whole == set(module.model.parameters()):
            raise UserError(
                f"strategy sharded shards frozen parameters, but method {type(module.method).__name__} trains "
                "everything; use --trainer.strategy ddp"
            )
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        shard(module.model, mesh, whole, module.weights, module.part)
        module.weights = None  # which holds what random weights were drawn
        register_fsdp_forward_method(module.model, "generate")
        module.synced_generate = True
        super().model_to_device()
        parameters = list(module.model.parameters())
        held = sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in parameters)
        console.print(f"{held:,} of {sum(p.numel() for p in parameters):,} parameters on each process")

    @property
    def _module(self) -> T5Module:
        assert isinstance(self.lightning_module, T5Module)
        return self.lightning_module

    def configure_ddp(self) -> None:
        """Do not wrap the module: FSDP's hooks are on the backbone's blocks."""

    def post_backward(self, closure_loss: Tensor) -> None:
        """Average the gradients over the processes. Gradients accumulated before are equal and stay so."""
        gradients = [p.grad for p in self._module.parameters() if p.requires_grad and p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat = self.reduce(flat, reduce_op="mean")
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _set_gathered(self, is_gathered: bool) -> None:
        """Keep the blocks gathered after their forward pass, or free them."""
        if self.reshard_after_forward:
            return
        assert self._module.model is not None
        for block in blocks(self._module.model):
            assert isinstance(block, FSDPModule)
            block.set_reshard_after_forward(not is_gathered)
            if not is_gathered:
                block.reshard()

    def on_validation_start(self) -> None:
        self._set_gathered(True)

    def on_validation_end(self) -> None:
        self._set_gathered(False)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end


StrategyRegistry.register("sharded", ShardedBackbone, description=ShardedBackbone.__doc__ or "", override=True)
