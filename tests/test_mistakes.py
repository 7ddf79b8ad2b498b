"""A user's mistake gives one clear line and exit code 2, no traceback, and nothing is written or overwritten."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from lit_compacter import checkpoint
from lit_compacter.cli import main
from lit_compacter.module import T5Module
from tests.cli import command, run_cli
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("_project_root")


def error(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The one line that a user's mistake gives."""
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any(line.startswith("Traceback") for line in lines)
    assert sum(line.startswith("error: ") for line in lines) == 1 and lines[-1].startswith("error: ")
    return lines[-1]


MISTAKES = {
    "unknown task": (["--data.task=rtee"], "unknown task 'rtee' (data.task); expected one of cola,"),
    "training on diagnostics": (["--data.task=axb"], "a diagnostic set has no train rows: evaluate a model that was"),
    "a split that is none": (["--data.split=offical"], "data.split"),
    "unknown key": (["--data.batchsize=3"], "did you mean 'data.batch_size'?"),
    "abbreviated key": (["--trainer.max_epoch=3"], "did you mean 'trainer.max_epochs'?"),
    "unknown method option": (["--model.method.phm_dims=2"], "did you mean 'phm_dim'?"),
    "unknown method": (["--model.method=Compactor"], "the methods are Compacter, Adapter"),
    "another method's option": (
        ["--config=methods/layer_norms.yaml", "--model.method.rank=2"],
        "Option 'rank' is not accepted; it is an option of Compacter",
    ),
    "missing config": (["--config=nosuch.yaml"], "no config file 'nosuch.yaml'; in "),
    "no data files": (["--data.data_dir=/nowhere"], "no file /nowhere/RTE/train.tsv"),
    "phm_dim does not divide": (["--model.method.phm_dim=5"], "phm_dim 5 does not divide both the model dimension 128"),
    "batch_size -1": (["--data.batch_size=-1"], "data.batch_size is -1; expected a whole number above 0"),
    "batch_size 0": (["--data.batch_size=0"], "data.batch_size is 0; expected a whole number above 0"),
    "max_source_length 0": (
        ["--data.max_source_length=0"],
        "data.max_source_length is 0; expected a whole number",
    ),
    "no such model": (["--model.model_name=/nowhere"], "no folder '/nowhere' (model.model_name)"),
    "no such checkpoint": (["--ckpt_path=/nowhere.ckpt"], "no checkpoint /nowhere.ckpt"),
    "model hub out of reach": (["--model.model_name=google-t5/t5-base"], "offline, give a folder"),
    "data hub out of reach": (["--data.data_dir=null"], "--data.data_dir DIR"),
    "no end": (["--trainer.max_epochs=-1"], "must have a beginning and an end"),
    "negative learning rate": (["--model.learning_rate=-1"], "model.learning_rate is -1; expected a number above 0"),
    "a place that is none": (["--model.method.where=attn"], "method.where is attn; expected a list such as [a, b]"),
    "layers that are none": (["--model.method.layers=all"], "method.layers is all; expected a list of int or null"),
    "null": (["--data.batch_size=null"], "data.batch_size is null; expected a whole number above 0"),
    "a word that is none": (["--model.method.init=he"], "method.init is he; expected xavier_uniform, xavier_normal or"),
    "a number in place of a word": (["--trainer.precision=8"], "precision is 8; expected 64, 32, 16, transformer-engi"),
    "no such class": (["--trainer.callbacks=Foo"], "callbacks is Foo; expected a list of Callback, a Callback or null"),
    "a class that lacks an option": (
        ["--trainer.callbacks={class_path: EarlyStopping}"],
        "(the following arguments are required: monitor)",
    ),
    "last of no run": (
        ["--ckpt_path=last"],
        "--ckpt_path last is a checkpoint of the run's own folder: it needs --",
    ),
    "empty run name": (["--run_name="], "--run_name '' is not a folder name"),
    "logger not installed": (["--trainer.logger=WandbLogger"], "wandb"),
    "no such accelerator": (["--trainer.accelerator=gpux"], "error: trainer: "),
    "no validation": (["--trainer.check_val_every_n_epoch=0"], "check_val_every_n_epoch is 0; expected a number ab"),
    "no interval": (["--trainer.val_check_interval=0"], "val_check_interval is 0; expected a number above 0"),
    "no accumulation": (["--trainer.accumulate_grad_batches=0"], "accumulate_grad_batches is 0; expected a number ab"),
    "a number too large": (
        ["--trainer.max_epochs=99999999999"],
        "is 99999999999; expected a number below 2,147,483,648",
    ),
    "no checkpoint's name": (["--ckpt_path="], "no checkpoint"),
    "a URL": (["--ckpt_path=https://example.com/x.ckpt"], "is a URL; download the file, then give its path"),
    "overfit_batches": (["--trainer.overfit_batches=2"], "use --trainer.limit_train_batches"),
    "run name with a slash": (["--run_name=../x"], "--run_name '../x' is not a folder name"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_one_line_and_nothing_left(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = MISTAKES[case]
    assert message in error(capsys, *command("fit", tmp_path / "runs", *arguments))
    assert not list(tmp_path.glob("**/*.*")) and not list(tmp_path.glob("runs/*")), "no run folder is left behind"


def test_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "for example: python main.py fit --config demo.yaml" in error(capsys, "--config=demo.yaml")
    assert "for example: python main.py fit --config demo.yaml" in error(capsys, "fitt")


def test_a_refused_resume_leaves_no_litter(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(trained.rglob("*"))
    resumed = command("fit", trained.parent, "--run_name=first", "--ckpt_path=last", "--config=methods/adapter.yaml")
    assert "made with method Compacter" in error(capsys, *resumed)
    assert sorted(trained.rglob("*")) == before


def test_no_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no task is given; choose one: --config rte.yaml" in error(capsys, "fit")


def test_mistakes_in_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("modle:\n  learning_rate: 1.0\n")
    assert "did you mean 'model.learning_rate'?" in error(capsys, "fit", f"--config={file}")
    for content, message in (
        ("data: {batch_size: null}", "data.batch_size is null; expected a whole number above 0"),
        ("trainer: 2", "trainer is 2; expected its options, indented under it"),
        ("- data", "holds no options; expected sections such as data: and model:"),
        ("model: {method: true}", "model.method is True; expected the name of a class; give the name of a method"),
    ):
        file.write_text(content)
        assert message in error(capsys, "fit", "--config=rte.yaml", f"--config={file}")
    file.write_text("data: [rte\n")
    assert f"error: {file}: " in error(capsys, "fit", f"--config={file}")
    assert "methods/compacter.yaml, " in error(capsys, "fit", "--config=nosuch")


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
    assert "no access to /guarded/RTE/train.tsv: give another" in error(capsys, *command("fit", tmp_path, *options))
    assert not list(tmp_path.iterdir())


def test_evaluation_needs_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "test needs --ckpt_path" in error(capsys, *command("test", tmp_path))


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


def test_a_tokenizer_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone = Path(shutil.copytree(TINY, tmp_path / "t5"))
    config = json.loads((backbone / "config.json").read_text())
    (backbone / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))
    options = [f"--model.model_name={backbone}", "--model.pretrained=false"]
    message = error(capsys, *command("fit", tmp_path / "runs", *options))
    assert "tokens up to" in message and "the model has 100" in message


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
    options = ["--model.learning_rate=1e30", "--model.warmup_steps=0", "--save_every=1", "--run_name=run"]
    message = error(capsys, *command("fit", tmp_path, *options))
    assert "training diverged: the gradient of optimizer step 2 is not finite" in message
    assert "--model.learning_rate" in message
    state = checkpoint.read(tmp_path / "run/checkpoints/last.ckpt")
    assert state["global_step"] == 1
    assert all(tensor.isfinite().all() for tensor in state["state_dict"].values())


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
        assert "is not a whole checkpoint" in error(capsys, *command(verb, tmp_path / "more", f"--ckpt_path={half}"))


def test_a_checkpoint_cannot_choose_what_is_imported(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state: dict[str, Any] = checkpoint.read(trained / "checkpoints/last.ckpt")
    state["lit_compacter"]["method"] = "os.system"
    torch.save(state, tmp_path / "x.ckpt")
    message = error(capsys, *command("test", tmp_path / "more", f"--ckpt_path={tmp_path / 'x.ckpt'}"))
    assert "the checkpoint has method 'os.system'; expected one of Compacter" in message


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = run_cli(*command("fit", tmp_path, "--data.task=rtee", "--debug"))
    assert result.returncode != 0 and "Traceback" in result.stderr
    result = run_cli(*command("fit", tmp_path, "--data.task=rtee"))
    assert result.returncode == 2 and "Traceback" not in result.stderr
