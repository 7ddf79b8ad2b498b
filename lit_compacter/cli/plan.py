"""`python main.py plan --config rte.yaml`: what a run takes, before weights and data are there."""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import Namespace
from jsonargparse.typing import PositiveFloat, PositiveInt
from pytorch_lightning.cli import LightningArgumentParser
from transformers import PretrainedConfig

from lit_compacter.backbones.loading import load_config
from lit_compacter.backbones.published import is_cached, published_config
from lit_compacter.cli.cli import CLI
from lit_compacter.cli.request import Request
from lit_compacter.data.options import DataOptions
from lit_compacter.errors import UserError
from lit_compacter.methods import Method
from lit_compacter.model_options import ModelOptions
from lit_compacter.planning.memory import Strategy
from lit_compacter.planning.plan import CARDS, Estimate, Run, make_plan
from lit_compacter.planning.table import as_json, describe
from lit_compacter.planning.trace import BatchShape
from lit_compacter.runtime.launch import SUPPORTED_STRATEGIES
from lit_compacter.sharded_strategy import ShardedBackbone
from lit_compacter.tasks import find_task
from lit_compacter.utils.atomic import atomic_write
from lit_compacter.utils.console import console

Options = TypeVar("Options", ModelOptions, DataOptions)


class PlanCLI(CLI):
    """Parses the options of a run and those of `plan`. It makes no data module and no module."""

    method: Method

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--devices",
            type=PositiveInt | None,
            help="Number of processes in all, each with a device. Default: trainer.devices × trainer.num_nodes; 1 for "
            "auto.",
        )
        parser.add_argument(
            "--memory", type=PositiveFloat | None, metavar="GB", help="Also ask about a card with so much memory."
        )
        parser.add_argument("--output", type=str | None, metavar="FILE.json", help="Also write the plan, in bytes.")
        super().add_default_arguments_to_parser(parser)

    def instantiate_classes(self) -> None:
        given = Namespace(model=Namespace(method=self.config.model.method))
        self.method = self._instantiate(given, instantiate_groups=False).model.method


def main(args: Sequence[str]) -> None:
    """Parse the options of `plan`, and print the plan."""
    cli = PlanCLI("plan", Request.read(args))
    config, source = find_shape(cli.config.model.model_name, cli.config.model.revision)
    output = cli.config.output
    if output is not None and not Path(output).parent.is_dir():
        raise UserError(f"--output {output}: its folder does not exist")
    memory = cli.config.memory
    runs = [make_run(cli.config, cli.method, config, shape) for shape in batch_shapes(cli.config.data)]
    plan = make_plan(largest(runs), sorted({*CARDS, *([memory] if memory else [])}))
    for part in describe(plan, source):
        console.print(part, markup=False, highlight=False) if isinstance(part, str) else console.print(part)
    if output is not None:
        with atomic_write(Path(output)) as temporary:
            temporary.write_text(json.dumps(as_json(plan) | {"shape_from": source}, indent=2) + "\n")
        console.print(f"written to {output}", markup=False, soft_wrap=True)


def find_shape(name: str, revision: str | None) -> tuple[PretrainedConfig, str]:
    """The config of a model, and where it comes from. The hub is not asked for a model that was published long ago.

    Raises:
        UserError: There is no config.
    """
    if not Path(name).is_dir() and (config := published_config(name)) and not is_cached(name, revision):
        return config, "shape as published"
    return load_config(name, revision), "shape from its config.json"


def make_run(config: Namespace, method: Method, backbone: PretrainedConfig, shape: BatchShape) -> Run:
    """What decides the memory of the run that the options describe, with batches of a shape."""
    trainer, model = config.trainer, config.model
    return Run(
        config=backbone,
        method=method,
        options=take_options(ModelOptions, model),
        precision=str(trainer.precision or "32-true"),
        strategy=find_strategy(trainer.strategy),
        devices=config.devices or num_processes(trainer.devices, trainer.num_nodes),
        shape=shape,
        accumulate=trainer.accumulate_grad_batches,
        on_gpu=trainer.accelerator != "cpu",
    )


def take_options(kind: type[Options], given: Namespace) -> Options:
    """The options of a section of the config, which has others too."""
    return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})


def largest(runs: Sequence[Run]) -> Run:
    """The run that takes the most memory."""
    return runs[0] if len(runs) == 1 else max(runs, key=lambda run: Estimate(run).memory(run.strategy).total)


def find_strategy(given: str | Namespace) -> Strategy:
    """The strategy of the trainer's option, which may be the name of a strategy, or a class with its options.

    Raises:
        UserError: Training does not support it.
    """
    name = given.class_path.rpartition(".")[2] if isinstance(given, Namespace) else given
    if isinstance(given, str) and not given.startswith(("auto", "ddp", "sharded")):
        raise UserError(f"trainer.strategy {given}: {SUPPORTED_STRATEGIES}")
    return "sharded" if name in ("sharded", ShardedBackbone.__name__) else "ddp"


def num_processes(devices: Any, num_nodes: int) -> int:
    """The number of processes that the trainer's options mean; 1 device if it finds them itself."""
    if isinstance(devices, str) and "," in devices:  # their numbers
        devices = [device for device in devices.split(",") if device.strip()]
    if isinstance(devices, list):
        return len(devices) * num_nodes
    number = int(devices) if str(devices).isdecimal() else 1
    return max(1, number) * num_nodes


def batch_shapes(data: Namespace) -> list[BatchShape]:
    """The batches that may be the largest: of the longest rows and, with max_tokens_per_batch, of the most rows.

    A batch of many short rows has as many source tokens as one of few long rows, and more target tokens.
    """
    options = take_options(DataOptions, data)
    rows, longest, most = options.batch_size, options.max_source_length, options.max_tokens_per_batch
    target = options.max_target_length or find_task(options).answer.max_tokens_of_any  # without a tokenizer
    if most is None or rows * longest <= most:
        return [BatchShape(rows, longest, target)]
    rows = min(rows, most)
    return [BatchShape(max(1, most // longest), longest, target), BatchShape(rows, most // rows, target)]
