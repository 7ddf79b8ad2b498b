"""The section optuna of a study file, and what it searches: values, mistakes, folders of other searches."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs optuna: pip install 'lit-compacter[optuna]'")


from lit_compacter.cli.study import import_optuna_search
from lit_compacter.errors import UserError
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.search.optuna_search import OptunaSearch, first_cells
from tests.studies.fake_search import FACTOR, LR, SEARCH, FakeEngine, make_study, search, trials

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
fast_storage = pytest.mark.usefixtures("_fast_storage")


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
