"""For models larger than one device: shard the frozen backbone and replicate the trainable parameters."""

import torch
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from lit_compacter.backbones.t5 import blocks
from lit_compacter.errors import UserError
from lit_compacter.module import T5Module
from lit_compacter.utils.console import console


class ShardedBackbone(DDPStrategy):
    """`--trainer.strategy sharded`: fully sharded data parallel (FSDP2) for tensors that no checkpoint holds.

    The trainable parameters, about a thousandth of the model, are replicated on every process, and their gradients are
    averaged here. Checkpoints are therefore the same as with any other strategy. Each process first builds the whole
    model in memory.
    """

    def model_to_device(self) -> None:
        """Shard the blocks, then move the module to the device.

        Raises:
            UserError: The method trains everything, so nothing is left to shard, or the weights are quantized.
        """
        module = self.lightning_module
        assert isinstance(module, T5Module) and module.model is not None
        model: nn.Module = module.model
        if module.options.quantization is not None:
            raise UserError(
                "strategy sharded cannot shard quantized weights: use --trainer.strategy ddp, or remove "
                "--model.quantization"
            )
        whole = {parameter for name, parameter in module.named_parameters() if name in module.saved_names}
        if whole == set(model.parameters()):
            raise UserError(
                f"strategy sharded shards frozen parameters, but method {type(module.method).__name__} trains "
                "everything; use --trainer.strategy ddp"
            )
        if module.options.evaluate == "rank":
            raise UserError(
                "strategy sharded cannot rank labels; use --model.evaluate generate or --trainer.strategy ddp"
            )
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for part in (*blocks(module.model), model):
            fully_shard(part, mesh=mesh, ignored_params=whole)
        register_fsdp_forward_method(model, "generate")
        module.synced_generate = True
        super().model_to_device()
        held = sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in model.parameters())
        console.print(f"{held:,} of {sum(p.numel() for p in model.parameters()):,} parameters on each process")

    def configure_ddp(self) -> None:
        """Do not wrap the module: FSDP's hooks are on the backbone's blocks."""

    def post_backward(self, closure_loss: Tensor) -> None:
        """Average the gradients over the processes. Gradients accumulated before are equal and stay so."""
        assert self.lightning_module is not None
        gradients = [p.grad for p in self.lightning_module.parameters() if p.requires_grad and p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat = self.reduce(flat, reduce_op="mean")
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


StrategyRegistry.register("sharded", ShardedBackbone, description=ShardedBackbone.__doc__ or "", override=True)
