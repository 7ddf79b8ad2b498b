"""What a start refuses of earlier runs, of others that go on, and of checkpoints; they are left as they were."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from lit_compacter.checkpoints.format import METADATA_KEY
from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from tests.command_line import command, error, send_signal
from tests.conftest import DEMO, TINY

pytestmark = pytest.mark.usefixtures("_project_root")


def changed(trained: Path, path: Path, **parts: Any) -> str:
    """--ckpt_path of the run's last checkpoint, with `parts` in place of its own."""
    torch.save(read_checkpoint(trained / "checkpoints/last.ckpt") | parts, path)
    return f"--ckpt_path={path}"


def test_a_refused_resume_leaves_no_litter(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(trained.rglob("*"))
    resumed = command("fit", trained.parent, "--run_name=first", "--ckpt_path=last", "--config=methods/adapter.yaml")
    assert "made with method Compacter" in error(capsys, *resumed)
    assert sorted(trained.rglob("*")) == before


def test_evaluation_needs_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "test needs --ckpt_path" in error(capsys, *command("test", tmp_path))


def test_a_tokenizers_own_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, ran = tmp_path / "model", tmp_path / "ran"
    folder.mkdir()
    (folder / "config.json").write_bytes((TINY / "config.json").read_bytes())
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nfrom transformers import T5Tokenizer as Own\n")
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    message = error(capsys, *command("fit", tmp_path / "runs", f"--model.model_name={folder}"))
    assert "cannot load the tokenizer" in message and not ran.exists()


def test_a_second_fit_does_not_overwrite_the_first(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "checkpoints/best.ckpt").read_bytes()
    assert "holds checkpoints of an earlier fit" in error(capsys, *command("fit", trained.parent, "--run_name=first"))
    other = tmp_path / "other.ckpt"
    other.write_bytes((trained / "checkpoints/last.ckpt").read_bytes())
    resumed = command("fit", trained.parent, "--run_name=first", f"--ckpt_path={other}")
    assert "holds checkpoints of an earlier fit" in error(capsys, *resumed)
    assert (trained / "checkpoints/best.ckpt").read_bytes() == before


def test_a_run_folder_is_trained_in_once_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run/.lock"):
        message = error(capsys, *command("fit", tmp_path, "--run_name=run", "--ckpt_path=last"))
    assert "another process trains in the run folder" in message and "give another --run_name" in message
    assert (tmp_path / "run/.lock").exists(), "the other run's folder, in which nothing else lies yet, is left alone"


@pytest.mark.parametrize("verb", ["fit", "test"])
def test_another_methods_checkpoint(
    verb: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, ckpt = tmp_path / "more", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    other = error(capsys, *command(verb, runs, "--config=methods/adapter.yaml", ckpt))
    assert "made with method Compacter, this run has method Adapter" in other
    options = error(capsys, *command(verb, runs, "--model.method.phm_dim=8", ckpt))
    assert "made with options phm_dim=4, this run has options phm_dim=8" in options
    backbone = error(capsys, *command(verb, runs, "--model.pretrained=false", ckpt))
    assert "made with backbone pretrained=True" in backbone and "this run has backbone pretrained=False" in backbone
    assert not list(runs.iterdir())


def test_a_truncated_checkpoint(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (trained / "checkpoints/last.ckpt").read_bytes()
    half = tmp_path / "half.ckpt"
    half.write_bytes(whole[: len(whole) // 2])
    for verb in ("fit", "test"):
        assert "is not a complete checkpoint" in error(capsys, *command(verb, tmp_path / "more", f"--ckpt_path={half}"))


def test_a_checkpoint_cannot_choose_what_is_imported(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state: dict[str, Any] = read_checkpoint(trained / "checkpoints/last.ckpt")
    state["lit_compacter"]["method"] = "os.system"
    torch.save(state, tmp_path / "x.ckpt")
    message = error(capsys, *command("test", tmp_path / "more", f"--ckpt_path={tmp_path / 'x.ckpt'}"))
    assert "the checkpoint has method 'os.system'; expected one of Adapter" in message


def test_a_checkpoint_that_holds_something_else(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Undamaged and of this program, but not what a run can resume from."""
    state = read_checkpoint(trained / "checkpoints/last.ckpt")
    metadata = state[METADATA_KEY]
    for message, parts in {
        "inputs x=1": {METADATA_KEY: metadata | {"inputs": metadata["inputs"] | {"x": 1}}},
        "numbers that are not finite": {"state_dict": {n: t * float("nan") for n, t in state["state_dict"].items()}},
        "lacks optimizer_states: it is for evaluation only": {"optimizer_states": []},
    }.items():
        ckpt = changed(trained, tmp_path / "x.ckpt", **parts)
        assert message in error(capsys, *command("fit", tmp_path / "more", "--trainer.max_epochs=2", ckpt))
        assert not list((tmp_path / "more").iterdir())


def test_the_order_of_batches_is_kept_in_the_middle_of_an_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_signal(monkeypatch, "training_step", signal.SIGUSR1)
    with pytest.raises(SystemExit):
        main(command("fit", tmp_path, "--run_name=run", "--trainer.limit_train_batches=4"))
    monkeypatch.undo()
    table = (DEMO / "RTE/train.tsv").read_text()
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE/train.tsv").write_text(table.replace("buys", "sells", 1))
    shutil.copy(DEMO / "RTE/dev.tsv", tmp_path / "RTE")
    for option, message in (
        (f"--data.data_dir={tmp_path}", "the training rows have changed since the checkpoint (2,000 rows then, 2,000 "),
        ("--seed_everything=7", "from the middle of an epoch with seed_everything 42, this run has 7; keep it"),
        ("--data.batch_size=8", "with data.batch_size × processes 32, this run has 8; keep it"),
        ("--data.max_tokens_per_batch=500", "max_tokens_per_batch × processes null, this run has 500 × 1; keep it"),
    ):
        assert message in error(capsys, *command("fit", tmp_path, "--run_name=run", "--ckpt_path=last", option))


def test_a_run_that_is_over_is_not_trained(trained: Path) -> None:
    with pytest.warns(UserWarning, match="nothing was trained: the checkpoint is at optimizer step 2, .*max_epochs"):
        main(command("fit", trained.parent, "--run_name=first", "--ckpt_path=last"))


def test_a_run_that_ended_in_the_middle_of_an_epoch_trains_all_of_it(tmp_path: Path) -> None:
    options = ["--run_name=run", "--trainer.max_epochs=2", "--trainer.limit_train_batches=4", "--ckpt_path=last"]
    last = tmp_path / "run/checkpoints/last.ckpt"
    main(command("fit", tmp_path, *options, "--trainer.max_steps=3"))
    state = read_checkpoint(last)
    (loader,) = state["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert (state["global_step"], loader["epoch"], loader["num_yielded"]) == (3, 0, 3)
    main(command("fit", tmp_path, *options))
    assert read_checkpoint(last)["global_step"] == 8


def test_no_checkpoint_while_gradients_are_accumulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The validation after batch 3 comes between two batches of an optimizer step: the run stops after that step."""
    options = [
        "--trainer.limit_train_batches=6",
        "--trainer.accumulate_grad_batches=2",
        "--trainer.val_check_interval=3",
    ]
    send_signal(monkeypatch, "validation_step", signal.SIGUSR1)
    with pytest.raises(SystemExit):
        main(command("fit", tmp_path, "--run_name=run", *options))
    state = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    (loader,) = state["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert (state["global_step"], loader["num_yielded"]) == (2, 4)


def test_a_run_that_was_stopped_early_goes_on_with_more_patience(tmp_path: Path) -> None:
    def fit(callback: str, *more: str) -> int:
        options = ["--run_name=run", "--trainer.max_epochs=6", "--ckpt_path=last", "--data.max_train_samples=64", *more]
        main(command("fit", tmp_path, *options, f"--trainer.callbacks+={callback}"))
        return int(read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"])

    stop = "{class_path: EarlyStopping, init_args: {monitor: val/invalid, patience: %d}}"
    never = "--model.learning_rate=1e-9"  # so that nothing gets better
    assert fit(stop % 1, never) == 4
    with pytest.warns(UserWarning, match="nothing was trained.* the patience of EarlyStopping"):
        assert fit(stop % 1, never) == 4
    assert fit(stop % 3, never) == 8


def test_a_run_whose_time_is_over_says_so(tmp_path: Path) -> None:
    options = ["--run_name=run", "--trainer.max_epochs=99", "--ckpt_path=last", "--trainer.max_time=00:00:00:01"]
    main(command("fit", tmp_path, *options))
    with pytest.warns(UserWarning, match="nothing was trained.* max_time"):
        main(command("fit", tmp_path, *options))
