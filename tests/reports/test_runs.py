"""Reports of run folders, and the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_compacter.cli.main import main
from lit_compacter.cli.report import known_methods
from lit_compacter.errors import UserError
from lit_compacter.reports.grid import make_grid
from lit_compacter.reports.report import write_report
from lit_compacter.reports.runs import method_name, read_runs
from tests.command_line import error
from tests.reports.factory import make_run, make_study

pytestmark = pytest.mark.usefixtures("_project_root")


def run(folder: Path, method: dict[str, Any], seed: int = 0, task: str = "rte", **data: Any) -> Path:
    """A finished run with the config that fit would write."""
    make_run(folder, {"method": "compacter", "task": task, "seed": seed}, size=40)
    config = {
        "seed_everything": seed,
        "data": {"task": task, **data},
        "model": {"method": method, "learning_rate": 0.1},
    }
    config["trainer"] = {"default_root_dir": str(folder.parent), "max_epochs": 1}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def compacter(**options: Any) -> dict[str, Any]:
    given = {"sublayers": ["self_attention", "feed_forward"], "phm_dim": 4, "phm_rank": 1, "shared_phm_rule": True}
    return {"class_path": "lit_compacter.Compacter", "init_args": given | options}


def test_values_come_from_the_configs(tmp_path: Path) -> None:
    """An option that differs between methods alone, as a recipe's does, is no axis."""
    full = {"class_path": "lit_compacter.methods.FullFineTuning", "init_args": {}}
    run(tmp_path / "runs/a", compacter(), 1, batch_size=100)
    run(tmp_path / "runs/b", compacter(), 2, batch_size=100)
    run(tmp_path / "runs/c", full, 1, batch_size=32)
    study = read_runs([tmp_path / "runs"], known_methods())
    assert study.name == "runs" and [cell.values for cell in study.cells] == [
        {"method": "compacter", "task": "rte", "seed": 1},
        {"method": "compacter", "task": "rte", "seed": 2},
        {"method": "full", "task": "rte", "seed": 1},
    ]
    run(tmp_path / "runs/d", full, 1, batch_size=32)
    with pytest.warns(UserWarning, match="c and d have the same values: the latter counts"):
        make_grid(read_runs([tmp_path / "runs"], known_methods()), "test/score")
    shutil.rmtree(tmp_path / "runs/d")
    run(tmp_path / "runs/d", full, 1, batch_size=64)
    run(tmp_path / "more/a", compacter(reduction_factor=8), 1, batch_size=100)
    cells = read_runs([tmp_path / "runs", tmp_path / "more/a"], known_methods()).cells
    assert [cell.name for cell in cells] == ["more/a", "runs/a", "runs/b", "runs/c", "runs/d"]
    assert cells[0].values.keys() == {"method", "task", "seed", "data.batch_size", "model.method.reduction_factor"}


def test_each_run_is_read_once(tmp_path: Path) -> None:
    """However its path is written; the config.yaml of W&B in its folder is none of a run; loggers are no axis."""
    first = run(tmp_path / "runs/a", compacter(), 1)
    run(tmp_path / "runs/b", compacter(), 2)
    config = yaml.safe_load((first / "config.yaml").read_text())
    config["trainer"]["logger"] = {"class_path": "WandbLogger", "init_args": {"id": "a"}}
    (first / "config.yaml").write_text(yaml.safe_dump(config))
    (first / "wandb/run-1/files").mkdir(parents=True)
    (first / "wandb/run-1/files/config.yaml").write_text("wandb_version: 1\n")
    study = read_runs([tmp_path / "runs", tmp_path / "runs/../runs/a"], known_methods())
    assert [cell.name for cell in study.cells] == ["a", "b"] and study.axes == ["method", "task", "seed"]


def test_a_methods_name() -> None:
    known = known_methods()
    assert method_name(compacter(), known) == method_name(compacter(reduction_factor=8), known) == "compacter"
    assert method_name(compacter(sublayers=["feed_forward"]), known) == "compacter_pp"
    assert method_name(compacter(phm_dim=12, phm_rank=None, shared_phm_rule=False), known) == "phm_adapter"
    assert method_name({"class_path": "my.Own"}, known) == "Own"


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*nowhere; expected the folder of a study, run folders"):
        read_runs([tmp_path / "nowhere"], {})
    with pytest.raises(UserError, match=r"is neither a study \(it has no cells.json\) nor a run"):
        read_runs([tmp_path], {})
    (tmp_path / "config.yaml").write_text("data: {}\n")
    with pytest.raises(UserError, match=r"config.yaml is not the config of a run"):
        read_runs([tmp_path], {})


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_study(tmp_path / "study", ["compacter"], seeds=[0, 1], absent=["compacter-rte-1"], size=40)
    main(["report", str(folder), "--num_resamples", "10"])
    printed = capsys.readouterr().out.replace("\n", "")
    assert "missing: 1 not run" in printed and (folder / "report/index.html").exists()
    run(tmp_path / "runs/a", compacter())
    assert "a report of runs needs --output" in error(capsys, "report", str(tmp_path / "runs"))
    main(["report", str(tmp_path / "runs"), f"--output={tmp_path / 'out'}"])
    assert "| Compacter |" in (tmp_path / "out/tables.md").read_text()
    assert "did you mean 'test/accuracy'" in error(capsys, "report", str(folder), "--metric=test/acuracy")
    assert "expected a whole number above 0" in error(capsys, "report", str(folder), "--num_resamples=0")
    assert "no folder " in error(capsys, "report", str(tmp_path / "nowhere"), "--output=x")
    assert "report needs the folder of a study, or runs; for" in error(capsys, "report")
    assert "--metrc" in error(capsys, "report", str(folder), "--metrc=x")
    for path in (folder / "cells").glob("*/metrics.json"):
        path.write_text(json.dumps({}))
    assert "none of its 2 cells is finished" in error(capsys, "report", str(folder))


def test_seeds_are_counted_in_each_table(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        run(tmp_path / f"runs/{seed}", compacter(), seed, batch_size=100)
    for seed in (4, 5):
        run(tmp_path / f"runs/{seed}", compacter(), seed, batch_size=32)
    write_report(read_runs([tmp_path / "runs"], known_methods()), tmp_path / "report", "test/score", "none", 10)
    text = (tmp_path / "report/tables.md").read_text()
    assert "standard deviation over 2 or 3 seeds. " in text and "(n = " not in text and "n is the" not in text


def test_an_option_that_only_some_methods_have(tmp_path: Path) -> None:
    for factor in (8, 32):
        run(tmp_path / f"runs/{factor}", compacter(reduction_factor=factor))
    run(tmp_path / "runs/full", {"class_path": "lit_compacter.methods.FullFineTuning", "init_args": {}})
    write_report(read_runs([tmp_path / "runs"], known_methods()), tmp_path / "report", "test/score", "none", 10)
    assert [path.name for path in (tmp_path / "report").glob("score_by_*.svg")]
