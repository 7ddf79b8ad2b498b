"""The private names of other libraries that the package uses still do what it needs."""

from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

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
