"""Search with optuna: trials, pruning, and what a stop leaves. Cells are made up."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs optuna: pip install 'lit-compacter[optuna]'")

import optuna

from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Job, run_job
from lit_compacter.studies.search import optuna_search
from lit_compacter.studies.search.grid_search import choose
from lit_compacter.studies.search.optuna_search import OptunaSearch
from tests.studies.fake_search import (
    AXES,
    FACTOR,
    LR,
    SEARCH,
    FakeEngine,
    Silent,
    Stop,
    make_study,
    score,
    search,
    trials,
)

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
fast_storage = pytest.mark.usefixtures("_fast_storage")


@fast_storage
def test_each_trial_runs_every_seed_with_equal_values(tmp_path: Path) -> None:
    engine = FakeEngine()
    folder = search(make_study(), tmp_path / "s", engine)
    assert len(folder.cells) == len(engine.ran) == len({*engine.ran}) == 2 * 2 * 4
    entries = {entry["name"]: entry for entry in json.loads((tmp_path / "s/cells.json").read_text())}
    assert entries.keys() == {
        f"method={method},seed={seed},trial={n}" for method in AXES["method"] for seed in (1, 2) for n in range(4)
    }
    for method in AXES["method"]:
        for number, state, params, value in trials(tmp_path / "s", f"method={method}"):
            of_trial = [cell for cell in folder.cells if cell.name.endswith(f",trial={number}")]
            cells = [cell for cell in of_trial if cell.values["method"] == method]
            assert [cell.search for cell in cells] == [params, params] and state == "COMPLETE"
            assert value == pytest.approx(sum(map(score, cells)) / 2)
            assert all(f"--{LR}={params[LR]}" in cell.options for cell in cells)
    for chosen in choose(folder.cells, folder.path):
        known = trials(tmp_path / "s", f"method={chosen.values['method']}")
        assert chosen.search == max(known, key=lambda trial: trial[3] or 0)[2]


@pytest.mark.parametrize("num_jobs", [1, 6])
def test_a_stopped_search_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, num_jobs: int, request: pytest.FixtureRequest
) -> None:
    if num_jobs == 1:  # else in the database
        request.getfixturevalue("_fast_storage")
    study = make_study(
        axes={"seed": [1, 2]},
        optuna={"num_trials": 6, "pruner": {"class_path": "MedianPruner", "init_args": {"n_startup_trials": 2}}},
        search=SEARCH | {LR: {"low": 1e-4, "high": 1e-2}},
    )
    whole = search(study, tmp_path / "whole", FakeEngine(), num_jobs)
    path, ran = tmp_path / "stopped", []
    for num_left in (0, 1, 2, 5):  # the last cell of each start is stopped in its middle
        engine = FakeEngine(num_left=num_left)
        with pytest.raises(Stop):
            search(study, path, engine, num_jobs)
        ran += engine.ran[:-1]
    engine = FakeEngine()
    stopped = search(study, path, engine, num_jobs)
    ran += engine.ran
    assert trials(path, "all") == trials(tmp_path / "whole", "all")
    assert {state for _, state, _, _ in trials(path, "all")} == {"COMPLETE", "PRUNED"}
    assert [cell.name for cell in stopped.cells] == [cell.name for cell in whole.cells]
    assert len(ran) == len({*ran})  # no finished cell ran again


@fast_storage
def test_a_trial_that_a_kill_left_without_values_gets_them(tmp_path: Path) -> None:
    study, path = make_study(axes={"seed": [1]}), tmp_path / "s"
    with pytest.raises(Stop):
        search(study, path, FakeEngine(num_left=0))
    known = optuna.load_study(study_name="all", storage=optuna_search.open_storage(path))
    known.ask()
    known.ask().suggest_float(LR, 1e-4, 1e-2, log=True)
    before = known.trials[2].params[LR]
    search(study, path, FakeEngine())
    assert [(number, state) for number, state, _, _ in trials(path, "all")] == [(n, "COMPLETE") for n in range(4)]
    assert trials(path, "all")[2][2][LR] == before


@fast_storage
def test_more_trials_continue_a_finished_search(tmp_path: Path) -> None:
    path = tmp_path / "s"
    search(make_study(axes={"seed": [1]}), path, FakeEngine())
    engine = FakeEngine()
    search(make_study(axes={"seed": [1]}), path, engine)
    assert not engine.ran
    search(make_study(axes={"seed": [1]}, optuna={"num_trials": 6}), path, engine)
    assert engine.ran == ["seed=1,trial=4", "seed=1,trial=5"]
    search(make_study(axes={"seed": [1]}, optuna={"num_trials": 6}), tmp_path / "whole", FakeEngine())
    assert trials(path, "all") == trials(tmp_path / "whole", "all")


@fast_storage
@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler", "optuna.samplers.QMCSampler"])
def test_a_search_repeats_and_never_begins_anew(tmp_path: Path, sampler: str) -> None:
    def values(seed: int, name: str) -> list[dict[str, Any]]:
        spec = {"class_path": sampler, "init_args": {"seed": seed}}
        study = make_study(axes={"seed": [1]}, optuna={"num_trials": 5, "sampler": spec})
        search(study, tmp_path / name, FakeEngine())
        return [params for _, _, params, _ in trials(tmp_path / name, "all")]

    first = values(0, "first")
    assert values(0, "again") == first != values(7, "other")
    assert len({params[LR] for params in first}) == 5


@fast_storage
def test_batches_fill_the_jobs(tmp_path: Path) -> None:
    engine = FakeEngine()
    search(make_study(axes={"seed": [1, 2]}), tmp_path / "s", engine, num_jobs=5)
    assert [len(batch) for batch in engine.batches] == [4, 4]  # two trials of two seeds each


@fast_storage
def test_equal_trials_share_their_cells(tmp_path: Path) -> None:
    study = make_study(search={LR: [1e-3], FACTOR: [8, 16]}, optuna={"num_trials": 6}, axes={"seed": [1]})
    engine = FakeEngine()
    searching = OptunaSearch(study, tmp_path / "s", 1)
    searching.run(engine, Silent())
    assert engine.batches == [["seed=1,trial=0"], ["seed=1,trial=2"], ["seed=1,trial=0"]], "the last one is a test"
    assert len(searching.folder.cells) == searching.folder.num_expected == 2
    assert [state for _, state, _, _ in trials(tmp_path / "s", "all")] == ["COMPLETE"] * 6


@fast_storage
def test_a_failed_trial_stays_open_and_is_tried_again(tmp_path: Path) -> None:
    study, path = make_study(axes={"seed": [1]}), tmp_path / "s"
    folder = search(study, path, FakeEngine(fails=lambda cell: cell.name.endswith("trial=1")))
    assert [state for _, state, _, _ in trials(path, "all")] == ["COMPLETE", "RUNNING", "COMPLETE", "COMPLETE"]
    assert choose(folder.cells, path)
    engine = FakeEngine()
    search(study, path, engine)
    assert engine.ran == ["seed=1,trial=1"]
    assert [state for _, state, _, _ in trials(path, "all")] == ["COMPLETE"] * 4


PRUNE = {"class_path": "ThresholdPruner", "init_args": {"lower": 0.1}}  # at the first validation
PRUNING = {"num_trials": 3, "pruner": PRUNE}


def only_trial_1_is_bad(cell: Cell) -> float:
    return 0.2 if cell.name.endswith("trial=1") else 0.9


@fast_storage
def test_a_pruned_trial_is_neither_chosen_nor_run_again(tmp_path: Path) -> None:
    study, path = make_study(axes={"seed": [1, 2]}, optuna=PRUNING), tmp_path / "s"
    folder = search(study, path, FakeEngine(only_trial_1_is_bad))
    assert [state for _, state, _, _ in trials(path, "all")] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert trials(path, "all")[1][3] == pytest.approx(0.05)  # its last validation
    pruned = [cell.name for cell in folder.cells if cell.is_pruned(path)]
    assert pruned == ["seed=1,trial=1", "seed=2,trial=1"]
    assert not {*pruned} & {cell.name for cell in choose(folder.cells, path)}
    engine = FakeEngine()
    search(study, path, engine)
    assert not engine.ran


@fast_storage
def test_cells_of_a_pruned_trial_end_while_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WaitingEngine(FakeEngine):
        def fit(self, cell: Cell, path: Path, num_validations: int) -> None:
            if not cell.name.endswith("trial=1"):
                super().fit(cell, path, num_validations)
                return
            super().fit(cell, path, 1)
            end = time.monotonic() + 20
            while not cell.is_pruned(path):
                assert time.monotonic() < end, "the cell was not marked while it ran"
                time.sleep(0.01)

    monkeypatch.setattr(optuna_search, "POLL_S", 0.02)
    engine = WaitingEngine(only_trial_1_is_bad)
    search(make_study(axes={"seed": [1, 2]}, optuna=PRUNING), tmp_path / "s", engine)
    assert "seed=1,trial=1" in engine.ran and "seed=2,trial=1" not in engine.ran  # the second seed never begins
    assert [state for _, state, _, _ in trials(tmp_path / "s", "all")] == ["COMPLETE", "PRUNED", "COMPLETE"]


@fast_storage
def test_marks_that_a_kill_left_incomplete_are_completed(tmp_path: Path) -> None:
    study, path = make_study(axes={"seed": [1, 2]}, optuna=PRUNING), tmp_path / "s"
    with pytest.raises(Stop):
        search(study, path, FakeEngine(only_trial_1_is_bad, num_left=2))
    (path / "pruned").mkdir()
    (path / "pruned" / "seed=1,trial=1").touch()
    engine = FakeEngine(only_trial_1_is_bad)
    search(study, path, engine)
    assert not [name for name in engine.ran if name.endswith("trial=1")]
    assert trials(path, "all")[1][1] == "PRUNED"


def test_a_marked_cell_does_not_start(tmp_path: Path) -> None:
    cell = Cell("a", {}, ())
    folder = StudyFolder(tmp_path / "s", [cell])
    cell.prune_mark(folder.path).parent.mkdir()
    cell.prune_mark(folder.path).touch()
    assert run_job(Job(cell, ("fit",)), folder, {}, lambda: False).state == "pruned"
    assert not folder.log(cell).exists()
