"""The command line end to end on the embedded default and, where it is to hand, on real data."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoTokenizer

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from lit_compacter.data.collate import Batch
from lit_compacter.module import T5Module
from lit_compacter.results.learning_curve import read_history
from lit_compacter.results.records import read_warnings
from tests.command_line import QUICK, command, only_folder
from tests.conftest import DEMO, TINY, shared
from tests.models import small_t5

pytestmark = pytest.mark.usefixtures("_project_root")

LOSSES = ["--data.batch_size=16", "--model.warmup_steps=1", "--trainer.log_every_n_steps=1"]


def test_what_a_user_sees(first_run: tuple[Path, str]) -> None:
    folder, text = first_run
    assert "6,176 of 1.16 M parameters trainable (0.531 %)" in text
    for group in ("adapters", "shared rule", "layer norms"):
        assert group in text
    told = " ".join(text.split())
    assert "train: 64 of 2,000 rows, drawn anew for each epoch (trainer.limit_train_batches 2)" in told
    assert "validation: 64 of 400 rows, drawn by data.data_seed (trainer.limit_val_batches 2)" in told
    (line,) = [line for line in text.splitlines() if line.startswith("test it: ")]
    assert str(folder) in line


def test_the_printed_test_command_works(first_run: tuple[Path, str], trained: Path) -> None:
    (line,) = [line for line in first_run[1].splitlines() if line.startswith("test it: python main.py ")]
    printed = shlex.split(line.removeprefix("test it: python main.py "))
    main([*printed, f"--trainer.default_root_dir={trained.parent}"])
    metrics = json.loads((trained / "metrics.json").read_text())
    assert "test/score" in metrics and "val/best_score" in metrics, "metrics of earlier verbs stay"
    assert (trained / "config-test.yaml").exists() and (trained / "config.yaml").exists()


def test_fit_leaves_a_complete_run_folder(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        ".lock",
        ".results.lock",
        "config.yaml",
        "checkpoints",
        "logs",
        "metrics.json",
        "learning_curve.png",
    }
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert (trained / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (trained / "logs/fit/csv/version_0/metrics.csv").exists()
    assert list((trained / "logs/fit/tensorboard/version_0").glob("events.*"))
    metrics = json.loads((trained / "metrics.json").read_text())
    expected = {"val/accuracy", "val/score", "val/invalid", "val/best_score", "train/loss", "resources"}
    assert metrics.keys() == expected
    assert all(0 <= metrics[name] <= 1 for name in metrics if name.startswith("val/"))
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["method"]["init_args"]["reduction_factor"] == 8


def test_the_resolved_config_repeats_the_run(trained: Path, tmp_path: Path) -> None:
    main(["fit", "--config", str(trained / "config.yaml"), f"--trainer.default_root_dir={tmp_path / 'more'}"])
    again = only_folder(tmp_path / "more")
    one, other = (read_checkpoint(folder / "checkpoints/last.ckpt")["state_dict"] for folder in (trained, again))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# The saved names are a format that users rely on: a change here must be meant.
SAVED = {
    "model.phm_rule",
    "model.encoder.block.0.layer.0.layer_norm.weight",
    "model.encoder.block.0.layer.1.DenseReluDense.adapter.down.s",
    "model.encoder.block.0.layer.1.DenseReluDense.adapter.down.t",
    "model.encoder.block.0.layer.1.DenseReluDense.adapter.down.bias",
    "model.encoder.block.0.layer.1.DenseReluDense.adapter.up.s",
    "model.encoder.block.0.layer.1.DenseReluDense.adapter.up.t",
    "model.encoder.block.0.layer.1.DenseReluDense.adapter.up.bias",
    "model.encoder.block.0.layer.1.layer_norm.weight",
    "model.encoder.final_layer_norm.weight",
    "model.decoder.block.0.layer.0.layer_norm.weight",
    "model.decoder.block.0.layer.1.layer_norm.weight",
    "model.decoder.block.0.layer.2.DenseReluDense.adapter.down.s",
    "model.decoder.block.0.layer.2.DenseReluDense.adapter.down.t",
    "model.decoder.block.0.layer.2.DenseReluDense.adapter.down.bias",
    "model.decoder.block.0.layer.2.DenseReluDense.adapter.up.s",
    "model.decoder.block.0.layer.2.DenseReluDense.adapter.up.t",
    "model.decoder.block.0.layer.2.DenseReluDense.adapter.up.bias",
    "model.decoder.block.0.layer.2.layer_norm.weight",
    "model.decoder.final_layer_norm.weight",
}
KEPT = {
    "format": 6,
    "method": "Compacter",
    "options": {
        **{
            "reduction_factor": 4,
            "sublayers": ("feed_forward",),
            "layers": None,
            "stacks": ("encoder", "decoder"),
            "non_linearity": "gelu_new",
        },
        **{"phm_dim": 4, "phm_rank": 1, "shared_phm_rule": True, "factorized_phm_rule": False, "learn_phm_rule": True},
        **{"shared_factors": False, "init": "xavier_uniform"},
    },
    "task": "rte",
    "inputs": {
        **{"add_task_name": False, "max_source_length": 64, "max_target_length": None, "split": "paper"},
        **{"data_seed": 42, "max_train_samples": None},
        **{"source": None, "target": None, "labels": None, "metrics": None},
    },
    "majority_target": "0",
    "model_commit": None,
    "data_commit": None,
}


def test_keys_of_a_checkpoint(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.save_pretrained(tmp_path / "model")
    small_t5(num_layers=1, num_decoder_layers=1, vocab_size=len(tokenizer)).save_pretrained(tmp_path / "model")
    model = ["--config=methods/compacter_pp.yaml", f"--model.model_name={tmp_path / 'model'}"]
    main(command("fit", tmp_path, *model, "--model.method.reduction_factor=4", "--run_name=run"))
    path = tmp_path / "run/checkpoints/last.ckpt"
    state = torch.load(path, weights_only=True)
    assert set(state["state_dict"]) == SAVED
    assert "hyper_parameters" not in state and "datamodule_hyper_parameters" not in state
    block = state["lit_compacter"]
    assert block == KEPT | {"model_name": str(tmp_path / "model"), "backbone": block["backbone"]}


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_evaluation_takes_method_and_inputs_from_the_checkpoint(verb: str, trained: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    arguments = [verb, "--config", "rte.yaml", f"--data.data_dir={DEMO}", f"--model.model_name={TINY}", *QUICK]
    more = tmp_path / "more"
    main([*arguments, f"--trainer.default_root_dir={more}", f"--ckpt_path={trained / 'checkpoints/best.ckpt'}"])
    folder = only_folder(more)
    prefix = {"validate": "val", "test": "test"}[verb]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {f"{prefix}/accuracy", f"{prefix}/score", f"{prefix}/invalid"} == metrics.keys()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["method"]["init_args"]["reduction_factor"] == 8
    assert config["data"]["max_source_length"] == 64
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*")}, "the checkpoint's run is untouched"


def test_predict_writes_every_row_in_order(trained: Path, tmp_path: Path) -> None:
    whole = [arg for arg in command("predict", tmp_path / "more") if "limit_predict" not in arg]
    main([*whole, f"--ckpt_path={trained / 'checkpoints/best.ckpt'}"])
    folder = only_folder(tmp_path / "more")
    records = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [record["idx"] for record in records] == list(range(200))
    assert records[0].keys() == {"split", "idx", "source", "prediction", "raw_text"}
    assert records[0]["source"].startswith("sentence1: ")
    assert json.loads((folder / "metrics.json").read_text())["predict/rows"] == 200


def test_new_names_never_meet(tmp_path: Path, trained: Path) -> None:
    for _ in range(2):
        main(command("validate", tmp_path / "more", f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"))
    assert len(list((tmp_path / "more").iterdir())) == 2


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*words])
    assert not stopped.value.code
    return capsys.readouterr().out


def test_print_config_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    override = ["--model.method.phm_dim=8", "--data.batch_size=32", "--trainer.devices=4", "--print_config"]
    config = yaml.safe_load(printed(capsys, "fit", "--config", "rte.yaml", *override))
    assert config["model"]["method"]["init_args"]["phm_dim"] == 8
    assert config["data"]["batch_size"] == 32 and int(config["trainer"]["devices"]) == 4
    text = " ".join(printed(capsys, "fit", "--help").split())
    for words in (
        "Longest input in tokens",
        "Peak learning rate of AdamW",
        "f1 (the second label in `labels` is the positive class)",
        "A value below 1 is a share of all optimizer steps",
        "Folder of this run",
        "--model.method.help",
    ):
        assert words in text
    assert "weights_only" not in text and "--optimizer" not in text
    text = " ".join(printed(capsys, "fit", "--model.method.help", "Compacter").split())
    assert "the number of Kronecker terms" in text and "Model dimension divided by the bottleneck" in text


def test_a_warm_up_longer_than_the_run_is_warned_of(tmp_path: Path) -> None:
    """And its results keep the fact, without the advice."""
    with pytest.warns(UserWarning, match="the warm-up has 50 optimizer steps, and this run has 2: .* Use a share of"):
        main(command("fit", tmp_path))
    (kept,) = read_warnings(only_folder(tmp_path))
    assert kept.startswith("the warm-up has 50 optimizer steps") and kept.endswith("and never reaches 0.01")


def test_batches_within_a_budget_of_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training and validation; the run has as many steps as the batches that the schedule counts."""
    batches: dict[str, list[torch.Size]] = {"training_step": [], "validation_step": []}

    def record(hook: str) -> None:
        unchanged = getattr(T5Module, hook)

        def step(module: T5Module, batch: Batch, batch_idx: int) -> Any:
            batches[hook].append(batch["input_ids"].shape)
            return unchanged(module, batch, batch_idx)

        monkeypatch.setattr(T5Module, hook, step)

    for hook in batches:
        record(hook)
    options = ["--data.max_tokens_per_batch=500", "--data.batch_size=1000", "--data.max_train_samples=300"]
    options += ["--trainer.limit_train_batches=1.0", "--trainer.max_epochs=2", "--trainer.num_sanity_val_steps=0"]
    options += ["--model.warmup_steps=1"]
    main(command("fit", tmp_path, "--run_name=run", *options))
    assert all(shape.numel() <= 500 for shapes in batches.values() for shape in shapes)
    trained = batches["training_step"]
    epoch = len(trained) // 2
    assert sum(rows for rows, _ in trained[:epoch]) == sum(rows for rows, _ in trained[epoch:]) == 300
    assert len({rows for rows, _ in trained}) > 2 and len(batches["validation_step"]) == 4
    state = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert state["global_step"] == len(trained) and state["lr_schedulers"][0]["_last_lr"] == [0.0]


@pytest.mark.parametrize("task", ["rte", "cola", "boolq", "copa"])
def test_real_tasks_on_a_real_vocabulary(task: str, tmp_path: Path) -> None:
    data_dir = shared("data", "glue" if task in ("rte", "cola") else "superglue")
    real = ["--config", f"{task}.yaml", f"--model.model_name={shared('t5-mini')}", f"--data.data_dir={data_dir}"]
    real += [*QUICK, "--data.batch_size=16", f"--trainer.default_root_dir={tmp_path}", "--run_name=real"]
    main(["fit", *real])
    main(["test", *real, "--ckpt_path=best"])
    main(["predict", *real, "--ckpt_path=best"])
    metrics = json.loads((tmp_path / "real/metrics.json").read_text())
    assert {"val/score", "test/score", "test/invalid", "predict/rows"} <= metrics.keys()
    shutil.rmtree(tmp_path / "real")


def test_a_dry_run_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the real run of the same name then begins at its beginning."""
    for _ in range(2):
        main(command("fit", tmp_path, "--run_name=run", "--trainer.fast_dev_run=2", "--ckpt_path=last"))
        assert not list(tmp_path.iterdir())
    printed = capsys.readouterr().out
    assert "dry run (trainer.fast_dev_run): no checkpoint, result or log was kept" in printed
    assert "run folder" not in printed and "test it" not in printed
    main(command("fit", tmp_path, "--run_name=run"))
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 2


def test_no_answer_yet_is_explained(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"no output was an answer of task rte.*'' \(expected '[01]'\), .*Early"):
        main(command("fit", tmp_path, "--model.learning_rate=1e-9", "--run_name=run"))
    assert not any("no output" in text for text in read_warnings(tmp_path / "run")), "in training this is normal"
    with pytest.warns(UserWarning, match=r"no output was an answer of task rte.*'' \(expected '[01]'\)"):
        main(command("test", tmp_path, "--run_name=run", "--ckpt_path=best"))
    assert "no output was an answer of task rte, so every score counts wrong answers" in read_warnings(tmp_path / "run")


@pytest.mark.parametrize("method", ["compacter", "lora", "full"])
def test_gradient_checkpointing_changes_no_loss(method: str, tmp_path: Path) -> None:
    for name in ("stored", "recomputed"):
        option = f"--model.gradient_checkpointing={str(name == 'recomputed').lower()}"
        main(command("fit", tmp_path, f"--config={method}", f"--run_name={name}", option, *LOSSES))
    one, other = (read_history(tmp_path / name)["train/loss"] for name in ("stored", "recomputed"))
    assert len(one) == 2 and one == pytest.approx(other, rel=1e-5)


@pytest.mark.soak
@pytest.mark.parametrize("method", ["compacter", "lora", "full"])
def test_compiling_changes_no_loss(method: str, tmp_path: Path) -> None:
    """Alone and with gradient checkpointing; torch.compile takes minutes."""
    compiled = ["--model.compile=true"]
    both = [*compiled, "--model.gradient_checkpointing=true"]
    for name, options in (("eager", []), ("compiled", compiled), ("both", both)):
        main(command("fit", tmp_path, f"--config={method}", f"--run_name={name}", *options, *LOSSES))
    eager, *others = (read_history(tmp_path / name)["train/loss"] for name in ("eager", "compiled", "both"))
    assert all(eager == pytest.approx(other, rel=1e-4) for other in others)
