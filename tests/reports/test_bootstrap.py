"""The paired bootstrap agrees with scipy, with the metrics themselves, and with what is certain beforehand."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from lit_compacter.reports.bootstrap import p_values, two_sided_p
from lit_compacter.reports.cells import read_study
from lit_compacter.reports.grid import AVERAGE, Grid, make_grid
from lit_compacter.reports.resampling import Resampler
from lit_compacter.tasks.answer_metrics import Outcomes
from lit_compacter.tasks.metrics import METRICS
from tests.reports.factory import cell_entry, make_outcomes, make_study, write_run
from tests.reports.test_tables import write_study

COUNT = 300


def outcomes(kind: str, names: list[str]) -> Outcomes:
    """Examples of every sort: invalid outputs, three labels, and groups of up to five examples."""
    rng = np.random.default_rng(1)
    groups = torch.from_numpy(np.sort(rng.integers(0, COUNT // 3, COUNT)))
    valid = torch.from_numpy(rng.random(COUNT) < 0.9)
    if kind == "text":
        columns = {name: torch.from_numpy(rng.random(COUNT)) for name in names}
        return Outcomes(kind, torch.arange(COUNT), groups, valid, columns)
    if kind == "numbers":
        target = rng.integers(0, 26, COUNT) / 5
        predicted = np.where(valid, target + rng.normal(0, 1, COUNT), np.nan)
        pair = {"prediction": torch.from_numpy(predicted), "target": torch.from_numpy(target)}
        return Outcomes(kind, torch.arange(COUNT), groups, valid, pair)
    classes = 2 if names == ["f1"] else 3
    label = rng.integers(0, classes, COUNT)
    predicted = np.where(rng.random(COUNT) < 0.8, label, rng.integers(0, classes, COUNT))
    predicted = np.where(valid, predicted, -1)
    pair = {"prediction": torch.from_numpy(predicted), "target": torch.from_numpy(label)}
    return Outcomes(kind, torch.arange(COUNT), groups, valid, pair, classes)


EVERY = [(kind, name) for kind, names in METRICS.items() for name in (*names, "invalid")]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_resampled_metrics_are_the_metrics(kind: str, name: str) -> None:
    """The fast way gives what the function gives on the resampled examples; a group drawn twice is two groups."""
    whole = outcomes(kind, [name])
    resampler = Resampler(whole, [name])
    _, units = np.unique(whole.groups, return_inverse=True)
    rng = np.random.default_rng(2)
    draws = np.stack([np.bincount(rng.integers(units.max() + 1, size=units.max() + 1), minlength=units.max() + 1)] * 2)
    draws[0] = 1
    expected = []
    for draw in draws:
        drawn = np.repeat(np.arange(len(draw)), draw)
        members = [np.flatnonzero(units == unit) for unit in drawn]
        groups = np.repeat(np.arange(len(drawn)), [len(examples) for examples in members])
        expected.append(whole.take(torch.from_numpy(np.concatenate(members)), torch.from_numpy(groups)).score(name))
    assert resampler.scores(draws.astype(float)) == pytest.approx([float(value) for value in expected], abs=1e-9)
    assert float(expected[0]) == pytest.approx(float(whole.score(name)), abs=1e-9)


@pytest.mark.parametrize("name", METRICS["numbers"])
def test_predictions_that_hardly_vary(name: str) -> None:
    """A resample without the one that differs has a correlation of 0, as the metric has, and not one of rounding."""
    target = torch.arange(30, dtype=torch.float64) / 5
    prediction = torch.full((30,), 0.6, dtype=torch.float64)
    prediction[3], prediction[4] = 0.8, math.nan
    rows = torch.arange(30)
    run = Outcomes("numbers", rows, rows, ~prediction.isnan(), {"prediction": prediction, "target": target})
    draws = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=50).astype(float)
    found = Resampler(run, [name]).scores(draws)
    drawn = [torch.from_numpy(np.repeat(np.arange(30), draw.astype(int))) for draw in draws]
    expected = [run.take(index, index).score(name) for index in drawn]
    assert found == pytest.approx([float(value) for value in expected], abs=1e-9) and 10 < (found == 0).sum() < 30


def test_a_score_is_the_mean_of_the_metrics() -> None:
    whole = outcomes("labels", ["accuracy"])
    draws = np.ones((1, Resampler(whole, ["accuracy"]).num_units))
    parts = [Resampler(whole, [name]).scores(draws)[0] for name in ("accuracy", "exact_match")]
    assert Resampler(whole, ["accuracy", "exact_match"]).scores(draws)[0] == pytest.approx(np.mean(parts))


def test_p_value_of_resamples() -> None:
    assert two_sided_p(np.zeros(999)) == 1, "no difference in any resample"
    assert two_sided_p(np.ones(999)) == pytest.approx(2 / 1000)
    assert two_sided_p(np.array([1.0] * 974 + [-1.0] * 25)) == pytest.approx(52 / 1000)
    assert two_sided_p(np.array([1e-15] * 500 + [-1e-15] * 499)) == 1, "rounding is no difference"


def grid_of(folder: Path, shares: dict[str, list[np.ndarray]], tasks: Sequence[str] = ("rte",)) -> Grid:
    """A study of runs, of which it is given which examples are right: method → seed → examples, alike for all tasks."""
    entries = []
    for method, of_seeds in shares.items():
        for task, (seed, right) in itertools.product(tasks, enumerate(of_seeds)):
            values = {"method": method, "task": task, "seed": seed}
            entries.append(cell_entry(values))
            label = np.arange(len(right)) % 2
            pair = {
                "prediction": torch.from_numpy(np.where(right, label, 1 - label)),
                "target": torch.from_numpy(label),
            }
            rows = torch.arange(len(right))
            run = Outcomes("labels", rows, rows, rows >= 0, pair, 2)
            write_run(folder / "cells" / entries[-1]["name"], values, run, ["accuracy"])
    return make_grid(read_study(write_study(folder, entries)), "test/score")


@pytest.mark.parametrize("lead", [0.0, 0.03, 0.06])
def test_agrees_with_scipy(lead: float, tmp_path: Path) -> None:
    """With the share of scipy's resamples on the other side of 0, within its own error of drawing."""
    rng = np.random.default_rng(5)
    one = rng.random(400) < 0.75
    other = np.where(rng.random(400) < 0.8, one, rng.random(400) < 0.75 + 4 * lead)
    found = p_values(grid_of(tmp_path / "study", {"full": [one], "compacter": [other]}), "full", 4000)

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(x.mean(axis) - y.mean(axis))

    data = other.astype(float), one.astype(float)
    drawn = stats.bootstrap(
        data, difference, paired=True, vectorized=True, n_resamples=9999, method="percentile", rng=1
    ).bootstrap_distribution
    expected = min(1, 2 * min((drawn <= 1e-12).mean(), (drawn >= -1e-12).mean()))
    assert found[(), "compacter", "rte"] == pytest.approx(expected, abs=0.03)


def test_what_is_sure(tmp_path: Path) -> None:
    """Equal runs do not differ, not even by chance; runs that are right where others are wrong do; seeds are paired."""
    rng = np.random.default_rng(0)
    base = [rng.random(200) < 0.6 for _ in range(3)]
    better = [np.where(np.arange(200) < 40, True, right) for right in base]
    grid = grid_of(tmp_path / "study", {"full": base, "adapter": base, "compacter": better, "lora": base[:1]})
    found = p_values(grid, "full", 1000)
    assert found[(), "adapter", "rte"] == found[(), "lora", "rte"] == 1
    assert found[(), "compacter", "rte"] == pytest.approx(2 / 1001)
    assert found == p_values(grid, "full", 1000)
    assert found[(), "compacter", AVERAGE] == found[(), "compacter", "rte"], "of a single task"
    assert p_values(grid, "compacter", 1000)[(), "full", "rte"] == pytest.approx(2 / 1001)


def test_each_task_is_resampled_by_itself(tmp_path: Path) -> None:
    """The mean of two tasks varies less than either, by the square root of 2."""
    rng = np.random.default_rng(5)
    one = rng.random(400) < 0.75
    other = np.where(rng.random(400) < 0.8, one, rng.random(400) < 0.8)
    grid = grid_of(tmp_path / "study", {"full": [one], "compacter": [other]}, ["rte", "wnli"])
    found = p_values(grid, "full", 2000)
    single, average = found[(), "compacter", "rte"], found[(), "compacter", AVERAGE]
    assert 0.1 < single < 0.6
    assert average == pytest.approx(2 * stats.norm.sf(stats.norm.isf(single / 2) * math.sqrt(2)), abs=0.05)


def test_chance_alone_is_seldom_significant(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    methods = ["adapter", "bitfit", "compacter", "pfeiffer", "low_rank", "layer_norms", "adapter_drop", "phm_adapter"]
    grid = grid_of(tmp_path / "study", {name: [rng.random(300) < 0.8] for name in ["full", *methods]})
    assert sum(grid_p < 0.05 for grid_p in p_values(grid, "full", 500).values()) <= 4


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    """Without outcomes, or of other rows."""
    folder = make_study(tmp_path / "study", ["full", "adapter", "compacter"], seeds=[0], size=50)
    (folder / "cells/adapter-rte-0/test_predictions.jsonl").unlink()
    assert not p_values(make_grid(read_study(folder), "val/best_score"), "full", 100)
    found = p_values(make_grid(read_study(folder), "test/score"), "full", 100)
    assert {row for _, row, _ in found} == {"compacter"}
    path = folder / "cells/compacter-rte-0/test_predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert not p_values(make_grid(read_study(folder), "test/score"), "full", 100)


def test_outcomes_are_read_as_they_were_written() -> None:
    for kind, names in METRICS.items():
        whole = outcomes(kind, list(names))
        again = Outcomes.from_records(list(whole.records()))
        assert (again.kind, again.columns.keys()) == (kind, whole.columns.keys())
        assert all(torch.equal(getattr(again, name), getattr(whole, name)) for name in ("rows", "groups", "valid"))
        for name in names:
            if kind != "labels" or name != "f1":
                assert torch.equal(again.score(name), whole.score(name))
    few = make_outcomes(["accuracy"], 1, 1.0, np.random.default_rng(0))
    assert Outcomes.from_records(list(few.records())).classes == 2
