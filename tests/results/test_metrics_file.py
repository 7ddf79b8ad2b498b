"""No result in a run folder replaces one of something else."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lit_compacter.cli.main import main
from lit_compacter.results.records import own_results
from lit_compacter.utils.jsonl import append_record, read_records
from tests.command_line import command
from tests.conftest import TINY
from tests.official_data import BENCHMARKS

pytestmark = pytest.mark.usefixtures("_project_root")


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())  # type: ignore[no-any-return]


def test_other_results_stand_under_a_key_of_their_own(trained: Path, tmp_path: Path) -> None:
    own = metrics(trained) | {"val/accuracy": 0.99}
    (trained / "metrics.json").write_text(json.dumps(own))
    same = ["--run_name=first", "--ckpt_path=best"]
    BENCHMARKS["cb"].write_files(tmp_path)
    cb = ["validate", "--config=cb.yaml", f"--data.data_dir={tmp_path}", f"--model.model_name={TINY}", *same]
    cb += ["--trainer.accelerator=cpu", f"--trainer.default_root_dir={trained.parent}"]
    main(cb)
    main(cb)
    main(command("validate", trained.parent, *same))
    main(command("test", trained.parent, *same, "--trainer.limit_test_batches=3"))
    found = metrics(trained)
    others = found.pop("evaluations")
    assert found == own
    described = [(e["verb"], e["task"], e["split"], e["checkpoint"]) for e in others]
    assert described == [
        ("validate", "cb", "validation", "best.ckpt"),
        ("validate", "rte", "validation", "best.ckpt"),  # the run's val/… are of its last epoch
        ("test", "rte", "test", "best.ckpt"),
    ]
    assert others[0]["data"]["validation"]["data_dir"] == str(tmp_path) and others[0]["date"].startswith("20")
    assert others[0]["metrics"]["val/macro_f1"] == 0 and others[2]["data"]["test"]["limit_test_batches"] == 3

    main(command("test", trained.parent, *same))
    assert metrics(trained).keys() == {*own, "test/accuracy", "test/score", "test/invalid", "evaluations"}
    log = list(read_records(trained / "logs/results.jsonl"))
    assert [entry["verb"] for entry in log] == ["fit", "validate", "validate", "validate", "test", "test"]
    assert [entry["is_own"] for entry in log] == [True, False, False, False, False, True]
    assert own_results(trained).keys() == {"fit", "test"}


def test_a_folder_without_a_fit(trained: Path, tmp_path: Path) -> None:
    """The first result of a verb is what the folder reports; another checkpoint's does not replace it."""
    best, other = trained / "checkpoints/best.ckpt", tmp_path / "other.ckpt"
    shutil.copy(best, other)
    for path in (best, other, best):
        main(command("test", tmp_path, "--run_name=tested", f"--ckpt_path={path}"))
    found = metrics(tmp_path / "tested")
    assert found.keys() == {"test/accuracy", "test/score", "test/invalid", "evaluations"}
    assert [entry["checkpoint"] for entry in found["evaluations"]] == [str(other)]


def test_a_log_survives_a_process_killed_while_it_writes(tmp_path: Path) -> None:
    append_record(tmp_path / "logs/x.jsonl", {"step": 1})
    with (tmp_path / "logs/x.jsonl").open("a") as file:
        file.write('{"step": 2, "tr')
    append_record(tmp_path / "logs/x.jsonl", {"step": 3})
    assert list(read_records(tmp_path / "logs/x.jsonl")) == [{"step": 1}, {"step": 3}]
