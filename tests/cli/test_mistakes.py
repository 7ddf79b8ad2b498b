"""A user's mistake gives one clear line and exit code 2, no traceback, and nothing is written or overwritten."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from lit_compacter.errors import UserError
from lit_compacter.module import T5Module
from tests.command_line import command, error
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("_project_root")


MISTAKES = {
    "unknown task": (["--data.task=rtee"], "unknown task 'rtee' (data.task); expected one of cola,"),
    "training on diagnostics": (["--data.task=axb"], "a diagnostic set has no train rows: evaluate a model that was"),
    "a split that is none": (["--data.split=offical"], "data.split"),
    "unknown key": (["--data.batchsize=3"], "did you mean 'data.batch_size'?"),
    "abbreviated key": (["--trainer.max_epoch=3"], "did you mean 'trainer.max_epochs'?"),
    "unknown method option": (["--model.method.phm_dims=2"], "did you mean 'phm_dim'?"),
    "AdapterHub's name of an option": (
        ["--model.method.bottleneck=24"],
        "Compacter has no option 'bottleneck'; did you mean 'reduction_factor'? (Compacter has reduction_factor, ",
    ),
    "the paper's name of an option": (
        ["--model.method.n=4"],
        "did you mean 'phm_dim'? (Compacter has phm_dim, ",
    ),
    "another project's name of an option": (["--lr=0.1"], "no option 'lr'; did you mean 'model.learning_rate'?"),
    "the trainer's option by its own name": (["--num_train_epochs=3"], "did you mean 'trainer.max_epochs'?"),
    "seed": (["--seed=1"], "there is no option 'seed'; did you mean 'seed_everything'?"),
    "nothing near": (["--zzzyx=1"], "there is no option 'zzzyx'"),
    "a callback's option": (
        ["--trainer.callbacks+={class_path: EarlyStopping, init_args: {monitr: val/score}}"],
        "trainer.callbacks: EarlyStopping has no option 'monitr'; did you mean 'monitor'?",
    ),
    "another sampler": (["--trainer.use_distributed_sampler=true"], "which divide the rows: set it to false"),
    "unknown method": (["--model.method=Compactor"], "'Compactor'; did you mean 'Compacter'? (the methods are A"),
    "another method's option": (
        ["--config=methods/layer_norms.yaml", "--model.method.rank=2"],
        "LayerNorms has no option 'rank'; it is an option of LowRankAdapter",
    ),
    "missing config": (["--config=nosuch.yaml"], "no config file 'nosuch.yaml'; in "),
    "a typo in a config's name": (["--config=lorra"], "error: no config file 'lorra'; did you mean 'lora'?"),
    "no data files": (["--data.data_dir=/nowhere"], "no file /nowhere/RTE/train.tsv"),
    "phm_dim does not divide": (["--model.method.phm_dim=5"], "phm_dim 5 does not divide both the model dimension 128"),
    "a method's option, before data is read": (
        ["--model.method.phm_dim=5", "--data.data_dir=/nowhere"],
        "phm_dim 5 does not divide",
    ),
    "batch_size -1": (["--data.batch_size=-1"], "data.batch_size is -1; expected a whole number above 0"),
    "batch_size 0": (["--data.batch_size=0"], "data.batch_size is 0; expected a whole number above 0"),
    "max_tokens_per_batch 0": (
        ["--data.max_tokens_per_batch=0"],
        "data.max_tokens_per_batch is 0; expected a whole number above 0 or null",
    ),
    "max_source_length 0": (
        ["--data.max_source_length=0"],
        "data.max_source_length is 0; expected a whole number",
    ),
    "no such model": (["--model.model_name=/nowhere"], "no folder '/nowhere' (model.model_name)"),
    "rank without labels": (
        ["--data.task=stsb", "--model.evaluate=rank"],
        "model.evaluate rank needs a task with labels, and the answers of stsb are numbers",
    ),
    "no such checkpoint": (["--ckpt_path=/nowhere.ckpt"], "no checkpoint /nowhere.ckpt"),
    "model hub out of reach": (
        ["--model.model_name=google-t5/t5-base"],
        "the cache lacks it at revision 'main'; HF_HUB_OFFLINE is set",
    ),
    "data hub out of reach": (["--data.data_dir=null"], "--data.data_dir DIR"),
    "no end": (["--trainer.max_epochs=-1"], "must have a beginning and an end"),
    "negative learning rate": (["--model.learning_rate=-1"], "model.learning_rate is -1; expected a number above 0"),
    "a place that is none": (
        ["--model.method.sublayers=attn"],
        "method.sublayers is attn; expected a list such as [a, b]",
    ),
    "layers that are none": (["--model.method.layers=all"], "method.layers is all; expected "),
    "null": (["--data.batch_size=null"], "data.batch_size is null; expected a whole number above 0"),
    "a word that is none": (["--model.method.init=he"], "method.init is he; expected xavier_uniform, xavier_normal or"),
    "a number in place of a word": (["--trainer.precision=8"], "precision is 8; expected "),
    "no such class": (["--trainer.callbacks=Foo"], "callbacks is Foo; expected "),
    "a class that lacks an option": (
        ["--trainer.callbacks={class_path: EarlyStopping}"],
        "(the following arguments are required: monitor)",
    ),
    "last of no run": (
        ["--ckpt_path=last"],
        "--ckpt_path last is a checkpoint of the run's own folder: it needs --",
    ),
    "empty run name": (["--run_name="], "--run_name '' is not a folder name"),
    "no such accelerator": (["--trainer.accelerator=gpux"], "error: trainer: "),
    "an interval that never ends": (
        ["--trainer.val_check_interval=99"],
        "an epoch has 2 batches; expected a number up",
    ),
    "no epochs": (["--trainer.max_epochs=0"], "trainer.max_epochs is 0: nothing would be trained"),
    "a GPU where there is none": (["--trainer.accelerator=cuda"], "without one use --trainer.accelerator cpu"),
    "a logger's folder that cannot be made": (
        ["--trainer.logger={class_path: CSVLogger, init_args: {save_dir: /dev/null/x}}"],
        "/dev/null/x: Not a directory; give another path",
    ),
    "no checkpoint's name": (["--ckpt_path="], "no checkpoint"),
    "a URL": (["--ckpt_path=https://example.com/x.ckpt"], "is a URL; download the file, then give its path"),
    "overfit_batches": (["--trainer.overfit_batches=2"], "use --trainer.limit_train_batches"),
    "run name with a slash": (["--run_name=../x"], "--run_name '../x' is not a folder name"),
    "a run name that is an option": (["--run_name=-x"], "--run_name '-x' is not a folder name"),
    "no run name to see": (["--run_name= "], "--run_name ' ' is not a folder name"),
    "bare bones": (["--trainer.barebones=true"], "trainer.barebones keeps no logs and no checkpoints"),
    "a truth in place of a number": (["--model.learning_rate=yes"], "learning_rate is yes; expected a number above"),
    "a list in place of a class": (["--trainer.plugins=[1]"], "a CheckpointIO, a LayerSync"),
    "an option that a callback refuses": (
        ["--trainer.callbacks={class_path: EarlyStopping, init_args: {monitor: val/score, mode: up}}"],
        "`mode` can be min, max, got up",
    ),
    "the folder above": (["--run_name=.."], "--run_name '..' is not a folder name"),
    "validation by the minute": (["--trainer.val_check_interval={minutes: 1}"], "{'minutes': 1}; expected batches"),
    "validation by the clock": (["--trainer.val_check_interval=00:00:01:00"], "is 00:00:01:00; expected batches"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_one_line_and_nothing_left(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = MISTAKES[case]
    assert message in error(capsys, *command("fit", tmp_path / "runs", *arguments))
    assert not list(tmp_path.glob("**/*.*")) and not list(tmp_path.glob("runs/*")), "no run folder is left behind"


def test_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "for example: lit-compacter fit --config demo.yaml" in error(capsys, "--config=demo.yaml")
    message = error(capsys, "fti")
    verbs = "fit, validate, test, predict, show, plan, download, study, report, export"
    assert f"unknown verb 'fti'; expected one of {verbs}; did you mean 'fit'?" in message


def test_no_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no task is given; choose one: --config rte.yaml" in error(capsys, "fit")


def test_mistakes_in_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("modle:\n  learning_rate: 1.0\n")
    assert "did you mean 'model.learning_rate'?" in error(capsys, "fit", f"--config={file}")
    for content, message in (
        ("data: {batch_size: null}", "data.batch_size is null; expected a value, such as 100"),
        ("trainer: 2", "trainer is 2; expected its options, indented under it"),
        ("data: {batch_size: 1, batch_size: 2}", "batch_size is given twice in"),
        ("- data", "holds no options; expected sections such as data: and model:"),
        ("model: {method: true}", "model.method is True; expected the name of a method, or class_path: its name"),
    ):
        file.write_text(content)
        assert message in error(capsys, "fit", "--config=rte.yaml", f"--config={file}")
    file.write_text("data: [rte\n")
    assert f"error: {file}: " in error(capsys, "fit", f"--config={file}")
    assert "demo.yaml, " in error(capsys, "fit", "--config=nosuch")


def test_bad_rows_name_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "data/RTE/train.tsv"
    file.parent.mkdir(parents=True)
    for row, message in (
        ("0\ta\tb", "expected 4 columns, found 3"),
        ("0\ta\tb\tmaybe", "label is maybe; expected one of entailment"),
    ):
        file.write_text(f"index\tsentence1\tsentence2\tlabel\n{row}\n")
        found = error(capsys, *command("fit", tmp_path / "runs", f"--data.data_dir={tmp_path / 'data'}"))
        assert f"{file}:2: {message}" in found


def test_a_run_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    message = error(capsys, *command("fit", tmp_path / "file"))
    assert "cannot write the run folder" in message and "choose another --trainer.default_root_dir" in message


def test_a_data_folder_that_may_not_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def guarded(path: Path, **options: Any) -> Any:  # permissions do not bind the superuser, who may run this
        if path.is_relative_to("/guarded"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", guarded)
    options = ["--data.data_dir=/guarded"]
    assert "/guarded/RTE/train.tsv: Permission denied; give another path" in error(
        capsys, *command("fit", tmp_path, *options)
    )
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone = Path(shutil.copytree(TINY, tmp_path / "t5"))
    config = json.loads((backbone / "config.json").read_text())
    (backbone / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))
    options = [f"--model.model_name={backbone}", "--model.pretrained=false"]
    message = error(capsys, *command("fit", tmp_path / "runs", *options))
    assert "the tokenizer does not fit the model: its vocab_size is 324, the model's 100" in message


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_out_of_memory(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        torch.empty(10**15)

    monkeypatch.setattr(T5Module, "training_step", lacking)
    message = error(capsys, *command("fit", tmp_path, "--data.batch_size=7"))
    assert "out of memory with data.batch_size 7 and data.max_source_length 64" in message


def test_training_that_diverges_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And leaves the checkpoint from before."""
    options = ["--model.learning_rate=1e30", "--model.warmup_steps=0", "--save_every_n_steps=1", "--run_name=run"]
    message = error(capsys, *command("fit", tmp_path, *options))
    assert "training diverged: a gradient is not finite, at or before optimizer step 2" in message
    assert "--model.learning_rate" in message
    state = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert state["global_step"] == 1
    assert all(tensor.isfinite().all() for tensor in state["state_dict"].values())


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown task 'rtee'"):  # which Python prints with its traceback
        main(command("fit", tmp_path, "--data.task=rtee", "--debug"))
