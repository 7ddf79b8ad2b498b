"""Checkpoints hold the adapter's state, whole, and are refused where they do not fit."""

import copy
import errno
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_compacter.checkpoints.compatibility import check_compatible, set_optimizer_options
from lit_compacter.checkpoints.format import FORMAT, Metadata, names_to_save, tensors
from lit_compacter.checkpoints.io import AdapterCheckpointIO, read_checkpoint
from lit_compacter.errors import UserError
from lit_compacter.methods import Compacter
from tests.models import small_t5, t5_base

METADATA: Metadata = {
    "format": FORMAT,
    "method": "Compacter",
    "options": {"reduction_factor": 32, "phm_dim": 4},
    "task": "rte",
    "inputs": {"max_source_length": 128},
    "majority_target": "0",
    "model_name": "a/model",
    "model_commit": None,
    "data_commit": None,
    "backbone": {"d_model": 768, "weights": "ab"},
}
STATE = {"model.phm_rule": torch.zeros(4, 4, 4)}


def saved(path: Path, **changes: Any) -> Path:
    AdapterCheckpointIO().save_checkpoint({"state_dict": STATE, "lit_compacter": METADATA | changes}, path)
    return path


def test_a_frozen_rule_is_saved_too() -> None:
    model = small_t5()
    base = tensors(model)
    Compacter(reduction_factor=4).apply(model)
    model.get_parameter("phm_rule").requires_grad_(False)
    assert "phm_rule" in names_to_save(model, base)


def test_t5_base_compacter_is_under_3_mb(tmp_path: Path) -> None:
    model = t5_base()
    base = tensors(model)
    Compacter().apply(model)
    state = {name: torch.zeros(model.state_dict()[name].shape) for name in names_to_save(model, base)}
    adam = {i: {"step": torch.zeros(()), "exp_avg": t, "exp_avg_sq": t.clone()} for i, t in enumerate(state.values())}
    file = tmp_path / "x.ckpt"
    AdapterCheckpointIO().save_checkpoint({"state_dict": state, "optimizer_states": [copy.deepcopy(adam)]}, file)
    assert 3 * 4 * 161_728 < file.stat().st_size < 3e6


def test_round_trip(tmp_path: Path) -> None:
    found = read_checkpoint(saved(tmp_path / "x.ckpt"))
    assert found["lit_compacter"] == METADATA
    assert torch.equal(found["state_dict"]["model.phm_rule"], STATE["model.phm_rule"])


def test_what_reading_refuses_is_not_written(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.ckpt")
    before = path.read_bytes()
    for state, named in (
        (np.float64(0.5), "numpy"),
        ({"folder": tmp_path}, "pathlib"),
        ([date(2021, 6, 8)], "datetime.date"),
        (lambda: None, "lambda"),
    ):
        with pytest.raises(UserError, match=f"the state of callback 'Mine' cannot be kept .*{named}"):
            AdapterCheckpointIO().save_checkpoint({"state_dict": STATE, "callbacks": {"Mine": state}}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.ckpt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left on device")]
)
def test_a_full_disk(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in a line, and the old file is whole."""
    path = tmp_path / "x.ckpt"
    path.write_bytes(b"old")

    def full_disk(*_: object) -> None:
        raise error

    monkeypatch.setattr(torch, "save", full_disk)
    message = r"cannot write .*x\.ckpt: .*No space left on device; the previous file is unchanged"
    with pytest.raises(UserError, match=message):
        AdapterCheckpointIO().save_checkpoint({}, path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.ckpt"] and path.read_bytes() == b"old"


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_truncated(tmp_path: Path, keep: float) -> None:
    path = saved(tmp_path / "x.ckpt")
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    with pytest.raises(UserError, match="is not a complete checkpoint"):
        read_checkpoint(path)


def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": {}, "lit_compacter": Bomb()}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match="is not a complete checkpoint"):
        read_checkpoint(tmp_path / "x.ckpt")
    assert not (tmp_path / "ran").exists()


def test_foreign_and_newer(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match="was not written by lit-compacter"):
        read_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=f"has format 99, this version reads format {FORMAT}"):
        read_checkpoint(saved(tmp_path / "y.ckpt", format=99))
    with pytest.raises(UserError, match="no checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "Adapter"}, r"made with method Compacter, this run has method Adapter"),
        (
            {"options": {"reduction_factor": 32, "phm_dim": 8}},
            r"made with options phm_dim=4, this run has options phm_dim=8;",
        ),
        (
            {"model_name": "b/model", "backbone": {"d_model": 512, "weights": "ab"}},
            r"made with backbone d_model=768, this run has backbone d_model=512 \(a/model and b/model\)",
        ),
        ({"backbone": {"d_model": 768, "weights": "cd"}}, r"backbone weights=ab, this run has backbone weights=cd"),
        ({"task": "cola"}, r"made with task rte, this run has task cola"),
        ({"inputs": {"max_source_length": 64}}, r"with inputs max_source_length=128, this run has inputs max_source_l"),
    ],
)
def test_another_run_is_refused(changes: dict[str, Any], message: str) -> None:
    other: Metadata = {**METADATA, **changes}  # type: ignore[typeddict-item]
    with pytest.raises(UserError, match=message):
        check_compatible({"state_dict": STATE, "lit_compacter": METADATA}, other, STATE, resume=True)


def test_evaluation_on_another_task_is_allowed() -> None:
    check_compatible({"state_dict": STATE, "lit_compacter": METADATA}, METADATA | {"task": "cola"}, STATE, resume=False)


def test_this_runs_optimizer_options_win() -> None:
    state: dict[str, Any] = {
        "lr_schedulers": [{"base_lrs": [0.1]}],
        "optimizer_states": [{"param_groups": [{"lr": 0.05, "initial_lr": 0.1, "weight_decay": 0.0}]}],
    }
    before = copy.deepcopy(state)
    set_optimizer_options(state, 0.1, 0.0)
    assert state == before
    set_optimizer_options(state, 0.2, 0.3)
    assert state["lr_schedulers"][0]["base_lrs"] == [0.2]
    assert state["optimizer_states"][0]["param_groups"] == [{"lr": 0.1, "initial_lr": 0.2, "weight_decay": 0.3}]


@pytest.mark.parametrize("state", [{}, {"model.phm_rule": torch.zeros(2, 2, 2)}, STATE | {"more": torch.zeros(1)}])
def test_other_tensors_are_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match="tensors do not fit"):
        check_compatible({"state_dict": state, "lit_compacter": METADATA}, METADATA, STATE, resume=False)
