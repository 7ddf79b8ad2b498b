"""The private names of other libraries that the package uses still do what it needs."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.nn.parallel import DistributedDataParallel

from lit_compacter.compat import OperationHook, fake_tensors
from lit_compacter.methods import Compacter
from lit_compacter.module import T5Module
from tests.conftest import TINY


def test_ddp_communicates_only_what_is_trained(tmp_path: Path) -> None:
    module = T5Module(Compacter(reduction_factor=8), model_name=str(TINY))
    module.configure_model()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        communicated = DistributedDataParallel(module)._get_ddp_logging_data()  # type: ignore[no-untyped-call]
    finally:
        torch.distributed.destroy_process_group()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    assert communicated["num_parameter_tensors"] == len(trained)
    assert communicated["total_parameter_size_bytes"] == 4 * sum(parameter.numel() for parameter in trained)
    assert set(module._ddp_params_and_buffers_to_ignore) >= dict(module.named_buffers()).keys()  # type: ignore[arg-type]


def test_fake_tensors_are_cast_by_autocast_and_take_no_memory() -> None:
    with fake_tensors():
        layer = torch.nn.Linear(2**17, 2**17)  # 64 GB
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(torch.empty(3, 2**17))
    assert (y.shape, y.dtype, y.device.type) == ((3, 2**17), torch.bfloat16, "cpu")


def test_the_operation_hook_sees_the_backward_pass() -> None:
    class Shapes(OperationHook):
        seen: ClassVar[list[torch.Size]] = []

        def after(self, result: Any) -> None:
            self.seen.append(result.shape)

    x = torch.ones(2, 3, requires_grad=True)
    with Shapes():
        (x @ torch.ones(3, 5)).sum().backward()
    assert {(2, 5), (2, 3)} <= set(Shapes.seen)
