"""A study's grid: its cells, their names and options, and mistakes."""

from pathlib import Path
from typing import Any

import pytest

from lit_compacter.errors import UserError
from lit_compacter.studies.study import Study


def names(**options: Any) -> list[str]:
    return [cell.name for cell in Study(**options).cells()]


def test_the_last_axis_changes_fastest() -> None:
    axes = {"method": ["compacter", "lora"], "seed": [1, 2]}
    assert names(axes=axes) == [
        "method=compacter,seed=1",
        "method=compacter,seed=2",
        "method=lora,seed=1",
        "method=lora,seed=2",
    ]


def test_later_options_override_earlier_ones() -> None:
    study = Study(
        configs=["demo.yaml"],
        axes={"task": ["rte"], "method": ["lora"], "seed": [1], "data.max_train_samples": [100], "config": ["cpu"]},
        overrides={"method": {"lora": {"model": {"learning_rate": 1e-3}, "data": {"max_train_samples": 7}}}},
        trainer={"max_epochs": 3},
        model={"learning_rate": 1e-2, "method": {"init_args": {"rank": 4}}},
    )
    (cell,) = study.cells()
    assert cell.options == (
        "--config=demo.yaml",
        "--config=cpu",
        "--config=rte.yaml",
        "--config=methods/lora.yaml",
        "--trainer.max_epochs=3",
        "--model.learning_rate=0.001",
        "--model.method.init_args.rank=4",
        "--data.max_train_samples=100",
        "--seed_everything=1",
    )
    assert cell.name == "task=rte,method=lora,seed=1,max_train_samples=100,config=cpu"


def test_values_are_written_as_yaml_reads_them() -> None:
    axes: dict[str, list[Any]] = {"model.method.layers": [[2, 3], None, [-1]], "model.gradient_checkpointing": [True]}
    cells = Study(axes=axes).cells()
    assert [cell.options for cell in cells] == [
        ("--model.method.layers=[2, 3]", "--model.gradient_checkpointing=true"),
        ("--model.method.layers=null", "--model.gradient_checkpointing=true"),
        ("--model.method.layers=[-1]", "--model.gradient_checkpointing=true"),
    ]
    assert [cell.name for cell in cells] == [
        "layers=2-3,gradient_checkpointing=true",
        "layers=null,gradient_checkpointing=true",
        "layers=-1,gradient_checkpointing=true",
    ]


def test_axes_with_the_same_last_part_have_their_whole_names() -> None:
    assert names(axes={"data.a.size": [1], "data.b.size": [2]}) == ["data.a.size=1,data.b.size=2"]


def test_exclude_leaves_out_combinations() -> None:
    axes = {"method": ["full", "lora"], "seed": [1, 2, 3]}
    found = names(axes=axes, exclude=[{"method": "full", "seed": 3}, {"seed": 2}])
    assert found == ["method=full,seed=1", "method=lora,seed=1", "method=lora,seed=3"]


def test_a_search_adds_its_options_to_each_cell() -> None:
    cells = Study(axes={"seed": [1, 2]}, search={"model.method.rank": [4, 8]}).cells()
    assert [cell.name for cell in cells] == ["seed=1,rank=4", "seed=1,rank=8", "seed=2,rank=4", "seed=2,rank=8"]
    assert cells[1].values == {"seed": 1} and cells[1].search == {"model.method.rank": 8}
    assert cells[1].options[-1] == "--model.method.rank=8"


def test_without_a_validation_the_last_checkpoint_is_tested(tmp_path: Path) -> None:
    (cell,) = Study(axes={"seed": [1]}).cells()
    assert cell.command(tmp_path, "test")[-1] == "--ckpt_path=best"
    checkpoints = cell.run_dir(tmp_path) / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "last.ckpt").touch()
    assert cell.command(tmp_path, "test")[-1] == "--ckpt_path=last"
    (checkpoints / "best.ckpt").touch()
    assert cell.command(tmp_path, "test")[-1] == "--ckpt_path=best"


def test_an_axis_may_be_narrowed() -> None:
    study = Study(axes={"method": ["lora"]}, exclude=[{"method": "full"}], overrides={"method": {"full": {}}})
    with pytest.warns(UserWarning, match="names method full, which is none of lora"):
        assert [cell.name for cell in study.cells()] == ["method=lora"]


def test_a_variant_is_what_overrides_says() -> None:
    overrides = {"variant": {"own_rule": {"model": {"method": {"shared_phm_rule": False}}}}}
    cells = Study(axes={"variant": ["compacter", "own_rule"]}, overrides=overrides).cells()
    assert [cell.options for cell in cells] == [(), ("--model.method.shared_phm_rule=false",)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "has no axes; expected, for example, axes: {method: [compacter, lora]}"),
        ({"axes": {"seed": []}}, "axis seed has no values"),
        ({"axes": {"seed": [1, 2, 1]}}, "axis seed has the value 1 twice"),
        ({"axes": {"seed": [1]}, "exclude": [{"seed": 1}]}, "exclude leaves out all combinations"),
        ({"axes": {"seed": [1]}, "exclude": [{"sed": 1}]}, "names sed; expected one of the axes: seed"),
        ({"axes": {"data.file": ["a b", "a/b"]}}, "two cells of the study have the name file=a-b"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("{", r"\{").replace("[", r"\[")):
        Study(**options).cells()
