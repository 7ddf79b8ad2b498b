"""`main.py plan`: what a run takes, without weights and data."""

import json
import re
from pathlib import Path

import pytest

from lit_compacter.cli.main import main
from lit_compacter.cli.plan import PlanCLI, batch_shapes, find_strategy, num_processes
from lit_compacter.cli.request import Request
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("_project_root")

QUICK = ["--config=demo.yaml", "--config=methods/full.yaml", f"--model.model_name={TINY}", "--data.batch_size=8"]


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "plan.json"
    main(["plan", *QUICK, "--devices=4", "--memory=0.0001", f"--output={output}"])
    printed = capsys.readouterr().out
    assert "FullFineTuning on" in printed and "shape from its config.json" in printed
    assert "1,157,632 of 1,157,632 parameters trained (100 %)" in printed
    assert "batch of 8 × 64 source and 4 target tokens on each of 4 devices, ddp" in " ".join(printed.split())
    assert "each process sends 6.95 MB per optimizer step" in printed  # 2 · 3/4 · 4 bytes of each
    assert "fits on cards of 16, 24, 40, 80 GB" in printed
    plan = json.loads(output.read_text())
    found = plan["configured"]
    assert found["memory"]["weights"] == 4 * plan["parameters"] == 4 * 1_157_632
    assert found["memory"]["total"] == sum(size for part, size in found["memory"].items() if part != "total")
    assert found["largest_batches"]["0.0001"] == 0 and found["fits"] == [16, 24, 40, 80]
    assert found in plan["alternatives"] and len(plan["alternatives"]) == 4


@pytest.mark.soak
def test_a_published_model_that_fits_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "--config=rte.yaml", "--config=methods/full.yaml", "--model.model_name=t5-11b", "--devices=8"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "t5-11b (shape as published)" in printed
    assert re.search(r"fits on no card of up to 80 GB; nearest: ddp, .*, which takes \d+ GB and does not fit", printed)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([*QUICK, "--devices=0"], "devices is 0; expected"),
        ([*QUICK, "--memory=-1"], "memory is -1; expected"),
        ([*QUICK, "--trainer.strategy=fsdp"], "trainer.strategy fsdp: expected auto, ddp or"),
        ([*QUICK, "--output=/nowhere/plan.json"], "--output /nowhere/plan.json: its folder does not exist"),
        ([*QUICK, "--model.quantization=nf4"], "cannot be used with method FullFineTuning"),
        (["--config=rte.yaml", "--model.model_name=/nowhere"], "no folder '/nowhere' (model.model_name)"),
        ([], "no task is given; choose one: --config rte.yaml"),
    ],
)
def test_mistakes(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["plan", *args])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        (["sharded"], "sharded"),
        (["ShardedBackbone", "--trainer.strategy.reshard_after_forward=false"], "sharded"),
        (["DDPStrategy", "--trainer.strategy.timeout=0:05:00"], "ddp"),
        (["auto"], "ddp"),
    ],
)
def test_the_strategy_may_be_a_class(given: list[str], strategy: str) -> None:
    cli = PlanCLI("plan", Request.read([*QUICK, "--trainer.strategy", *given]))
    assert find_strategy(cli.config.trainer.strategy) == strategy


@pytest.mark.parametrize(
    ("devices", "num_nodes", "count"),
    [("auto", 1, 1), (-1, 2, 2), (4, 2, 8), ("8", 1, 8), ([0, 3], 1, 2), ("0,3", 2, 4)],
)
def test_the_number_of_processes(devices: object, num_nodes: int, count: int) -> None:
    assert num_processes(devices, num_nodes) == count


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ([], [(8, 64)]),
        (["--data.max_tokens_per_batch=512"], [(8, 64)]),
        (["--data.max_tokens_per_batch=256"], [(4, 64), (8, 32)]),
        (["--data.max_tokens_per_batch=4"], [(1, 64), (4, 1)]),
    ],
)
def test_the_largest_batches(options: list[str], shapes: list[tuple[int, int]]) -> None:
    cli = PlanCLI("plan", Request.read([*QUICK, *options]))
    assert [(shape.rows, shape.source) for shape in batch_shapes(cli.config.data)] == shapes


def test_many_short_rows_take_more_than_few_long_ones(capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--config=demo.yaml", f"--model.model_name={TINY}"]
    main(["plan", *model, "--data.batch_size=256", "--data.max_tokens_per_batch=256"])
    assert "batch of 256 × 1 source and 4 target tokens" in " ".join(capsys.readouterr().out.split())
