"""Every task through the whole command line, from its benchmark's files to the leaderboard's."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_compacter.cli.main import main
from lit_compacter.tasks import TASKS
from lit_compacter.tasks.answer_metrics import Outcomes
from tests.conftest import TINY
from tests.official_data import BENCHMARKS, COUNTS
from tests.official_data.base import ENTAILMENT
from tests.tasks.test_tasks import PAIRS

TRAINED = {"ax": "mnli", "axb": "rte", "axg": "superglue-rte"}
LEADERBOARD = {"mnli": ["MNLI-m.tsv", "MNLI-mm.tsv"]}


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize("name", TASKS)
def test_every_verb(name: str, tmp_path: Path) -> None:
    """One step of training, then every evaluation, on official files and the YAML as it is."""
    for task in {name, TRAINED.get(name, name)}:
        BENCHMARKS[task].write_files(tmp_path)

    def run(verb: str, task: str, *more: str) -> None:
        small = [f"--data.data_dir={tmp_path}", f"--model.model_name={TINY}", "--data.max_target_length=8"]
        trainer = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.logger=false"]
        folder = [f"--trainer.default_root_dir={tmp_path / 'runs'}", "--run_name=run"]
        main([verb, "--config", f"{task}.yaml", *small, *trainer, *folder, *more])

    run("fit", TRAINED.get(name, name), "--trainer.max_epochs=1", "--trainer.limit_train_batches=1")
    for verb in ("validate", "test") if name not in TRAINED else ("test",) * (name != "ax"):
        run(verb, name, "--ckpt_path=best")
    run("predict", name, "--ckpt_path=best")
    folder = tmp_path / "runs" / "run"
    metrics = json.loads((folder / "metrics.json").read_text())
    if name in TRAINED:  # of another task than the run's
        metrics = {key: value for other in metrics["evaluations"] for key, value in other["metrics"].items()}
    tested = {f"test/{metric}" for metric in (*TASKS[name].metrics, "score", "invalid")} if name != "ax" else set()
    assert {key for key in metrics if key.startswith("test/")} == tested
    written = sorted(path.name for path in folder.iterdir() if path.suffix in (".tsv", ".jsonl"))
    files = list(TASKS[name].leaderboard.values())
    own = ["validate_predictions.jsonl", "test_predictions.jsonl"]
    outcomes = ["test_predictions-2.jsonl"] if name in TRAINED else own
    assert written == sorted(["predictions.jsonl", *files, *outcomes * (name != "ax")])
    for metric in TASKS[name].metrics if name != "ax" else ():
        found = Outcomes.from_records(read_jsonl(folder / outcomes[-1])).score(metric)
        assert float(found) == pytest.approx(metrics[f"test/{metric}"], abs=1e-6)
    assert files == LEADERBOARD.get(name, files) and len(files) == (2 if name == "mnli" else 1)
    assert metrics["predict/rows"] == COUNTS["test"] * len(files)
    records = read_jsonl(folder / "predictions.jsonl")
    field = {"axb": "sentence1: ", "axg": "premise: "}.get(name, PAIRS[name][1].split(" ")[0])
    assert all(record["source"].startswith(field) for record in records)


@pytest.mark.usefixtures("_project_root")
def test_what_a_checkpoint_tells_a_diagnostic_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The form of the task that was trained, and the majority label; a run's own config changes neither."""
    BENCHMARKS["axb"].write_files(tmp_path)
    rows = [{"premise": "A.", "hypothesis": "B.", "idx": i, "label": ENTAILMENT[i > 3]} for i in range(12)]
    for name in ("train", "val"):
        write_jsonl(tmp_path / f"RTE/{name}.jsonl", rows)
    common = [f"--data.data_dir={tmp_path}", f"--model.model_name={TINY}", "--trainer.accelerator=cpu"]
    common += ["--trainer.enable_progress_bar=false", "--trainer.logger=false"]
    common += [f"--trainer.default_root_dir={tmp_path / 'runs'}", "--run_name=run"]
    main(["fit", "--config=superglue-rte.yaml", *common, "--trainer.max_epochs=1"])
    config = tmp_path / "runs/run/config.yaml"
    for number, configs in enumerate(([], [f"--config={config}"])):
        main(["predict", *configs, "--config=axb.yaml", *common, "--ckpt_path=best"])
        suffix = f"-{number + 1}" if number else ""
        records = read_jsonl(tmp_path / f"runs/run/predictions{suffix}.jsonl")
        assert all(record["source"].startswith("premise: ") for record in records)
        assert {record["prediction"] for record in records} == {None}
        written = read_jsonl(tmp_path / f"runs/run/AX-b{suffix}.jsonl")
        assert {record["label"] for record in written} == {"not_entailment"}, "8 of 12, and not the first label"
    with pytest.raises(SystemExit):
        main(["test", "--config=axb.yaml", *common, "--ckpt_path=best", "--data.trained_on=copa"])
    assert "the model was trained on copa; axb is for models trained on rte or superglue-rte" in capsys.readouterr().err
