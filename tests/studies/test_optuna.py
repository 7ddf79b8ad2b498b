"""Search with optuna: trials, pruning, and what a stop leaves. Cells are made up, but for the soak test."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs optuna: pip install 'lit-compacter[optuna]'")

import optuna
from optuna.storages.journal import JournalFileBackend

from lit_compacter.cli.study import import_optuna_search
from lit_compacter.cli.study import main as study_main
from lit_compacter.errors import UserError
from lit_compacter.results.learning_curve import read_history
from lit_compacter.results.run_dir import HISTORY, METRICS, RESULTS
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.runner import Job, Outcome, run_job
from lit_compacter.studies.search import optuna_search
from lit_compacter.studies.search.grid import CRITERION, choose
from lit_compacter.studies.search.optuna_search import OptunaSearch, first_cells
from lit_compacter.studies.search.trials import OpenTrial
from lit_compacter.studies.study import Study
from lit_compacter.utils.jsonl import append_record
from tests.conftest import ROOT

LR, FACTOR = "model.learning_rate", "model.method.reduction_factor"
SEARCH = {LR: {"low": 1e-4, "high": 1e-2, "log": True}, FACTOR: [8, 16, 32]}
AXES: dict[str, list[Any]] = {"method": ["compacter", "compacter_pp"], "seed": [1, 2]}
NUM_VALIDATIONS = 4

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def make_study(**changes: Any) -> Study:
    given = {"configs": ["demo.yaml"], "axes": AXES, "search": SEARCH, "optuna": {"num_trials": 4}}
    return Study(**(given | changes))


def score(cell: Cell) -> float:
    """Best at a learning rate of 1e-3 and a factor of 16; seeds differ a little."""
    return 1 / (1 + abs(cell.search[LR] / 1e-3 - 1) + abs(cell.search[FACTOR] - 16)) + cell.values["seed"] / 100


class Silent:
    """Listens to cells."""

    def started(self, cell: Cell) -> None: ...

    def ended(self, cell: Cell, outcome: Outcome) -> None: ...


class Stop(BaseException):
    """What a stop signal raises."""


class FakeEngine:
    """Writes what runs would have written, with scores that rise to the last validation's.

    Args:
        scores: A cell's last score.
        num_left: Cells after which the study is stopped, in the middle of one.
        fails: Whether a cell fails.
    """

    def __init__(
        self,
        scores: Callable[[Cell], float] = score,
        num_left: int | None = None,
        fails: Callable[[Cell], bool] = lambda cell: False,
    ) -> None:
        self.scores, self.num_left, self.fails = scores, num_left, fails
        self.ran: list[str] = []
        self.batches: list[list[str]] = []

    def run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Any) -> bool:
        self.batches.append([job.cell.name for job in jobs])
        for job in jobs:
            if job.cell.is_pruned(folder.path):
                continue
            self.ran.append(job.cell.name)
            stops = self.num_left is not None and len(self.ran) > self.num_left
            if not self.fails(job.cell):
                self.fit(job.cell, folder.path, NUM_VALIDATIONS // 2 if stops else NUM_VALIDATIONS)
            if stops:
                raise Stop
        return True

    def fit(self, cell: Cell, path: Path, num_validations: int) -> None:
        run_dir = cell.run_dir(path)
        for number in range(1, num_validations + 1):
            value = self.scores(cell) * number / NUM_VALIDATIONS
            append_record(run_dir / HISTORY, {"step": 10 * number, "epoch": number, "val/score": value})
        if num_validations == NUM_VALIDATIONS:
            (run_dir / METRICS).write_text(json.dumps({CRITERION: self.scores(cell)}))
            append_record(run_dir / RESULTS, {"verb": "fit"})


def search(study: Study, path: Path, engine: FakeEngine, num_jobs: int = 1) -> StudyFolder:
    """Search, also to the stop of an engine."""
    searching = OptunaSearch(study, path, num_jobs)
    with contextlib.closing(searching):
        searching.run_trials(engine, Silent())
    return searching.folder


def trials(path: Path, group: str = "method=compacter") -> list[tuple[int, str, dict[str, Any], float | None]]:
    """What optuna keeps of each trial: number, state, values and result."""
    known = optuna.load_study(study_name=group, storage=optuna_search.open_storage(path)).trials
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in known]


@pytest.fixture
def _fast_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text file instead of a database, which takes 0.2 seconds a trial."""

    def open_journal(path: Path) -> optuna.storages.BaseStorage:
        return optuna.storages.JournalStorage(JournalFileBackend(str(path / optuna_search.DATABASE)))

    monkeypatch.setattr(optuna_search, "open_storage", open_journal)


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
            cells = [
                cell for cell in folder.cells if cell.name.endswith(f",trial={number}") and method in cell.options[1]
            ]
            of_method = [cell for cell in cells if cell.values["method"] == method]
            assert [cell.search for cell in of_method] == [params, params] and state == "COMPLETE"
            assert value == pytest.approx(sum(map(score, of_method)) / 2)
            assert all(f"--{LR}={params[LR]}" in cell.options for cell in of_method)
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
    folder = search(study, tmp_path / "s", engine)
    assert len(engine.ran) == len(folder.cells) == 2
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


@fast_storage
def test_values_of_all_kinds(tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "data.batch_size": {"low": 4, "high": 16, "step": 4},
        "model.warmup_steps": {"low": 1, "high": 100, "log": True},
        "model.weight_decay": {"low": "0.0", "high": 0.1, "step": "5e-2"},  # YAML reads 5e-2 as text
        "model.method.sublayers": [["feed_forward"], ["self_attention", "feed_forward"]],
        "model.compile": [False, None],
    }
    study = make_study(axes={"seed": [1]}, search=wanted, optuna={"num_trials": 20})
    engine = FakeEngine(lambda cell: 0.5)
    folder = search(study, tmp_path / "s", engine)
    before = [*folder.cells]
    seen = {option: {json.dumps(cell.search[option]) for cell in folder.cells} for option in wanted}
    assert seen["data.batch_size"] == {"4", "8", "12", "16"}
    assert all(value.isdigit() and 1 <= int(value) <= 100 for value in seen["model.warmup_steps"])
    assert seen["model.weight_decay"] == {"0.0", "0.05", "0.1"}
    assert seen["model.method.sublayers"] == {json.dumps(value) for value in wanted["model.method.sublayers"]}
    assert seen["model.compile"] == {"false", "null"}
    assert search(study, tmp_path / "s", engine).cells == before  # as read from the storage


ERRORS: list[tuple[Mapping[str, Any], str]] = [
    ({"optuna": None}, f"{LR} is a range, which needs optuna"),
    ({"search": {}}, "optuna has nothing to search"),
    ({"search": {LR: 3}}, f"{LR} is 3; expected a list"),
    ({"search": {LR: {"lo": 1}}}, "'lo'; expected low, high, log, step; did you mean 'low'?"),
    ({"search": {LR: {"low": 1}}}, "has no high"),
    ({"search": {LR: {"low": "a", "high": 1}}}, f"{LR}.low is a; expected a number"),
    ({"search": {LR: {"low": True, "high": 2}}}, f"{LR}.low is True; expected a number"),
    ({"search": {LR: {"low": 1, "high": 1}}}, "expected low < high"),
    ({"search": {LR: {"low": 0, "high": 1, "log": True}}}, "expected low above 0"),
    ({"search": {LR: {"low": 1, "high": 2, "log": "yes"}}}, "expected true or false"),
    ({"search": {LR: {"low": 1, "high": 9, "log": True, "step": 2}}}, "log: true and a step"),
    ({"search": {LR: {"low": 1, "high": 9, "step": 0}}}, "step 0; expected a number above 0"),
    ({"search": {LR: {"low": 1, "high": 9, "step": 0.5}}}, "expected a whole number, as low and high are"),
    ({"search": {LR: []}}, "has no values"),
    ({"optuna": {"trials": 3}}, "no option 'trials'; expected num_trials, sampler, pruner; did you mean 'num_trials'?"),
    ({"optuna": {"num_trials": 0}}, "num_trials is 0; expected a whole number above 0"),
    ({"optuna": {"sampler": 3}}, "optuna.sampler is 3; expected the name of a class"),
    ({"optuna": {"sampler": "TPSampler"}}, "unknown class 'TPSampler'"),
    ({"optuna": {"sampler": "TPSampler"}}, "did you mean 'TPESampler'?"),
    ({"optuna": {"sampler": "BaseSampler"}}, "unknown class 'BaseSampler'"),
    ({"optuna": {"sampler": "GridSampler"}}, "without the section optuna"),
    ({"optuna": {"pruner": "MediaPruner"}}, "did you mean 'MedianPruner'?"),
    ({"optuna": {"pruner": {"class_path": "MedianPruner", "init_args": {"n_startup": 1}}}}, "'n_startup_trials'?"),
    ({"optuna": {"pruner": {"class_path": "MedianPruner", "init_args": {"n_startup_trials": -1}}}}, "MedianPruner: "),
    ({"optuna": {"pruner": {"class": "MedianPruner"}}}, "expected class_path: NAME and init_args"),
]


@pytest.mark.parametrize(("changes", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_mistakes(changes: Mapping[str, Any], message: str) -> None:
    study = make_study(**changes)
    with pytest.raises(UserError) as raised:
        _ = study.cells() if study.optuna is None else first_cells(study)
    assert message in str(raised.value)


def test_a_pruner_may_contain_another() -> None:
    spec = {
        "class_path": "PatientPruner",
        "init_args": {"wrapped_pruner": {"class_path": "MedianPruner"}, "patience": 1},
    }
    assert first_cells(make_study(optuna={"pruner": spec}))


@fast_storage
@pytest.mark.parametrize(
    "changes",
    [
        {"search": {**SEARCH, FACTOR: [8, 16, 64]}, "optuna": {"num_trials": 9}},
        {"search": {**SEARCH, FACTOR: {"low": 8, "high": 64}}, "optuna": {"num_trials": 9}},
        {"search": {LR: SEARCH[LR]}},
        {"search": {**SEARCH, "model.weight_decay": [0.0, 0.1]}},
        {"trainer": {"max_epochs": 3}},
        {"axes": {"seed": [1, 2]}},
        {"search": {LR: [1e-3]}, "optuna": None},
    ],
    ids=["choices", "kind", "fewer", "more", "options", "seeds", "grid"],
)
def test_a_folder_with_another_search_is_refused(changes: Mapping[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "s"
    search(make_study(axes={"seed": [1]}), path, FakeEngine())
    before = trials(path, "all")
    given: dict[str, Any] = {"axes": {"seed": [1]}, **changes}
    study = make_study(**given)
    with pytest.raises(UserError, match=r"another (search|study)"):
        _ = StudyFolder(path, study.cells()) if study.optuna is None else search(study, path, FakeEngine())
    assert [trial for trial in trials(path, "all") if trial[1] == "COMPLETE"] == before


def test_a_folder_with_a_grid_or_other_files_is_refused(tmp_path: Path) -> None:
    StudyFolder(tmp_path / "grid", make_study(search={}, optuna=None).cells())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    for name in ("grid", "other"):
        with pytest.raises(UserError, match="give a new --output"):
            OptunaSearch(make_study(), tmp_path / name, 1)
        assert not (tmp_path / name / "optuna.db").exists()


@fast_storage
def test_one_process_searches_at_a_time(tmp_path: Path) -> None:
    first = OptunaSearch(make_study(), tmp_path / "s", 1)
    with pytest.raises(UserError, match="another process searches"):
        OptunaSearch(make_study(), tmp_path / "s", 1)
    first.close()
    OptunaSearch(make_study(), tmp_path / "s", 1).close()


def test_optuna_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lit_compacter.studies.search.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("lit_compacter.studies.search.optuna_search")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'lit-compacter\[optuna\]'"):
        import_optuna_search()


STUDY_FILE = f"""
configs: [demo.yaml]
axes: {{seed: [1, 2]}}
trainer: {{accelerator: cpu, max_epochs: 2, enable_progress_bar: false,
          limit_train_batches: 2, limit_val_batches: 2, limit_test_batches: 2}}
search:
  {LR}: {{low: 1e-4, high: 1e-2, log: true}}
  {FACTOR}: [8, 16]
optuna: {{num_trials: 3, sampler: {{class_path: TPESampler, init_args: {{n_startup_trials: 2}}}}, pruner: MedianPruner}}
"""


@pytest.mark.usefixtures("_project_root")
def test_dry_run_prints_the_first_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY_FILE)
    study_main([f"--config={file}", f"--output={tmp_path / 's'}", "--dry_run", "--optuna.num_trials=5"])
    commands = capsys.readouterr().out.splitlines()
    assert len(commands) == 4 and "--run_name=seed=1,trial=0" in commands[0] and f"--{LR}=" in commands[0]
    assert not (tmp_path / "s").exists()


@pytest.mark.usefixtures("_project_root")
def test_the_ends_of_ranges_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY_FILE.replace("low: 1e-4, high: 1e-2, log: true", "low: 0.0, high: 1.0"))
    with pytest.raises(UserError, match=r"learning_rate is 0.0; expected a number above 0"):
        study_main([f"--config={file}", f"--output={tmp_path / 's'}"])
    assert not (tmp_path / "s").exists()


def start(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "main.py"), "study", *args]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.soak
def test_a_process_of_a_marked_cell_ends(tmp_path: Path) -> None:
    options = ("--config=demo.yaml", "--trainer.accelerator=cpu", "--trainer.val_check_interval=5")
    cell = Cell("a", {}, options)
    folder = StudyFolder(tmp_path / "s", [cell])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_job, Job(cell, ("fit", "test")), folder, {"OMP_NUM_THREADS": "1"}, lambda: False)
        while not read_history(cell.run_dir(folder.path)).get("val/score"):
            assert not running.done()
            time.sleep(0.1)
        OpenTrial(optuna.create_study().ask(), [cell], 0, False).prune(folder.path)
        assert running.result(60).state == "pruned"
    assert not cell.has_done(folder.path, "fit")
    assert "stopped by SIGTERM" in folder.log(cell).read_text()


@pytest.mark.soak
def test_a_killed_study_goes_on(tmp_path: Path) -> None:
    file, path = tmp_path / "study.yaml", tmp_path / "s"
    file.write_text(STUDY_FILE)
    args = (f"--config={file}", f"--output={path}", "--jobs=2")
    process = start(*args)
    end = time.monotonic() + 300
    while not (path / "cells" / "seed=1,trial=1" / HISTORY).exists():  # the second trial trains
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = trials(path, "all")
    assert [state for _, state, _, _ in before] == ["COMPLETE", "RUNNING"]
    process = start(*args)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0, printed
    after = trials(path, "all")
    assert len(after) == 3 and [trial[2] for trial in after[:2]] == [trial[2] for trial in before]
    assert {state for _, state, _, _ in after} <= {"COMPLETE", "PRUNED"}
    best = max((trial for trial in after if trial[1] == "COMPLETE"), key=lambda trial: trial[3] or 0)
    cells = [Cell(e["name"], e["values"], (), e["search"]) for e in json.loads((path / "cells.json").read_text())]
    assert len(cells) == 6
    assert {cell.name for cell in cells if cell.has_done(path, "test")} == {f"seed={n},trial={best[0]}" for n in (1, 2)}
    again = start(*args)
    assert "6 of 6 finished" in again.communicate(timeout=300)[0]
    assert again.returncode == 0 and trials(path, "all") == after
