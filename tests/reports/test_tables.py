"""The tables of made-up studies: their numbers against numpy, their texts, and what is said of what is missing."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_compacter.errors import UserError
from lit_compacter.reports.bootstrap import p_values
from lit_compacter.reports.cells import read_study
from lit_compacter.reports.grid import AVERAGE, find_baseline, make_grid
from lit_compacter.reports.notes import find_missing, make_notes
from lit_compacter.reports.report import Report, write_report
from lit_compacter.reports.tables import Table, make_tables
from lit_compacter.reports.texts import as_csv, as_markdown
from lit_compacter.utils.jsonl import append_record
from tests.reports.factory import ERROR, cell_entry, make_run, make_study


def write_study(folder: Path, entries: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cells.json").write_text(json.dumps(entries))
    return folder


def tables_of(folder: Path, metric: str = "test/score") -> list[Table]:
    return make_tables(make_grid(read_study(folder), metric), {})


def score(folder: Path, name: str, metric: str = "test/score") -> float:
    return float(json.loads((folder / "cells" / name / "metrics.json").read_text())[metric])


def test_means_and_deviations(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", ["full", "compacter"], ["rte", "cola"], [1, 2, 3], size=100)
    (table,) = tables_of(folder)
    assert [row.title for row in table.rows] == ["Full fine-tuning", "Compacter"]
    assert table.titles == ["RTE", "CoLA", "Average"] and table.title == ""
    means = []
    for row in table.rows:
        scores = np.array(
            [[100 * score(folder, f"{row.value}-{task}-{seed}") for seed in (1, 2, 3)] for task in ("rte", "cola")]
        )
        entries = [entry for entry in row.entries if entry]
        assert [entry.mean for entry in entries] == pytest.approx([*scores.mean(1), scores.mean()])
        assert [entry.std for entry in entries] == pytest.approx([*scores.std(1, ddof=1), scores.mean(0).std(ddof=1)])
        assert [entry.count for entry in entries] == [3, 3, 3]
        means.append([entry.mean for entry in entries])
    best = [[entry.is_best for entry in row.entries if entry] for row in table.rows]
    assert best == (np.array(means) == np.max(means, axis=0)).tolist()
    assert table.rows[1].trained == (161_728, 161_728)
    assert table.rows[1].share == pytest.approx((0.07256, 0.07256), rel=1e-3)


def test_another_metric(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", tasks=["mrpc", "rte"], seeds=[1, 2], size=100)
    (table,) = tables_of(folder, "test/f1")
    assert table.columns == ["mrpc"], "RTE has no F1"
    found = table.rows[0].entries[0]
    assert found and found.mean == pytest.approx(50 * sum(score(folder, f"full-mrpc-{i}", "test/f1") for i in (1, 2)))
    for name, invalid in (("full-mrpc-1", 0.5), ("compacter-mrpc-1", 0.25)):
        path = folder / "cells" / name / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"test/invalid": invalid}))
    best = [row.entries[0] and row.entries[0].is_best for row in tables_of(folder, "test/invalid")[0].rows]
    assert best == [False, True], "the fewer the better"


def test_none_of_equal_results_is_best(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0], size=20)
    for path in (folder / "cells").glob("*/metrics.json"):
        path.write_text(json.dumps({"test/score": 0.0}))
    write_report(read_study(folder), folder / "report", "test/score", "none", 10)
    assert "| 0.00 |" in (folder / "report/tables.md").read_text()
    texts = {name: (folder / "report" / name).read_text() for name in ("tables.md", "tables.tex", "index.html")}
    assert not [name for name, text in texts.items() for bold in ("**", "textbf", 'class="best"') if bold in text]


def test_what_is_missing(tmp_path: Path) -> None:
    """The average takes all tasks; each place lacks its seeds; a cell that was not chosen in a search is no gap."""
    folder = make_study(
        tmp_path / "study",
        tasks=["rte", "cola"],
        failed=["compacter-cola-1"],
        absent=["full-rte-0", "full-rte-1", "full-rte-2", "compacter-rte-0"],
        size=60,
    )
    grid = make_grid(read_study(folder), "test/score")
    (table,) = make_tables(grid, {})
    full, compacter = ([entry and entry.count for entry in row.entries] for row in table.rows)
    assert full == [None, 3, None] and compacter == [2, 2, 2]
    average = table.rows[1].entries[2]
    assert average and average.std is None, "the tasks have different seeds"
    assert [(m.what, m.reason) for m in find_missing(grid)] == [
        *((f"Full fine-tuning, RTE, seed {seed}", "not run") for seed in range(3)),
        ("Compacter, RTE, seed 0", "not run"),
        ("Compacter, CoLA, seed 1", "failed"),
    ]
    missing = find_missing(grid)
    assert Report(tmp_path, missing).summary == f"missing: 4 not run, 1 failed; Compacter, CoLA, seed 1: {ERROR}"
    text = as_markdown([table], make_notes(grid, [table], None, 10, missing))
    assert "| Full fine-tuning | – |" in text and "(n = 2)" in text
    assert "- Missing: 4 not run, 1 failed. Full fine-tuning, RTE, seed 0 (not run); " in text


def test_warnings_stand_below_the_tables(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0, 1], size=20)
    for seed in (0, 1):
        record = {"verb": "fit", "is_own": True, "warnings": ["the warm-up is too long"]}
        append_record(folder / f"cells/compacter-rte-{seed}/logs/results.jsonl", record)
    write_report(read_study(folder), folder / "report", "test/score", "none", 10)
    told = "Warning of compacter × rte × seed 0, 1: the warm-up is too long."
    assert f"- {told}\n" in (folder / "report/tables.md").read_text()
    assert f"<li>{told}</li>" in (folder / "report/index.html").read_text()
    assert told.replace("×", r"$\times$") in (folder / "report/tables.tex").read_text()


def test_a_search(tmp_path: Path) -> None:
    """Of the cells with equal values, the one that was tested counts."""
    rates = [{"model.learning_rate": rate} for rate in (1e-3, 3e-3)]
    values = [{"method": "compacter", "task": "rte", "seed": seed} for seed in (0, 1)]
    entries = [cell_entry(one, search) for one in values for search in rates]
    folder = write_study(tmp_path / "study", entries)
    for entry in entries:
        make_run(folder / "cells" / entry["name"], entry["values"], size=40)
        if entry["search"] == rates[0]:
            path = folder / "cells" / entry["name"] / "metrics.json"
            content = json.loads(path.read_text())
            path.write_text(json.dumps({name: content[name] for name in ("val/best_score", "resources")}))
    study = read_study(folder)
    assert [cell.state for cell in study.cells] == ["validated", "finished"] * 2
    grid = make_grid(study, "test/score")
    (table,) = make_tables(grid, {})
    assert table.rows[0].entries[0] and table.rows[0].entries[0].count == 2 and not find_missing(grid)
    (folder / "chosen.json").write_text(json.dumps([entry["name"] for entry in entries[::2]]))
    assert [cell.state for cell in read_study(folder).cells] == ["validated"] * 4, "those of an earlier choice"
    validated = make_grid(study, "val/best_score").results[(), "compacter", "rte"].values()
    assert [cell.state for cell in validated] == ["finished"] * 2, "of those that were chosen, though all have one"
    for path in (folder / "cells").glob("*/metrics.json"):
        path.write_text(json.dumps({"val/best_score": 0.5}))
    unfinished = make_grid(read_study(folder), "val/best_score")
    assert not unfinished.results and [m.reason for m in find_missing(unfinished)] == ["not tested"] * 2


def test_further_axes_make_tables(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0], others={"data.max_train_samples": [1000, 100]}, size=40)
    assert [table.title for table in tables_of(folder)] == [
        "data.max_train_samples = 100",
        "data.max_train_samples = 1,000",
    ]


def test_rows_without_methods_or_tasks(tmp_path: Path) -> None:
    entries = [cell_entry({"model.method.phm_dim": dim, "seed": seed}) for dim in (4, 2) for seed in (0, 1)]
    folder = write_study(tmp_path / "study", entries)
    for entry in entries:
        make_run(folder / "cells" / entry["name"], entry["values"], size=40)
    (table,) = tables_of(folder)
    assert [row.title for row in table.rows] == ["2", "4"] and table.titles == ["test/score"]
    grid = make_grid(read_study(folder), "test/score")
    baseline = find_baseline(grid, None)
    tables = make_tables(grid, p_values(grid, baseline, 10))
    assert not find_missing(grid) and "differs from 2" in " ".join(make_notes(grid, tables, baseline, 10, []))


def test_equal_results_give_equal_files(tmp_path: Path) -> None:
    """Whatever took how long, wherever it lies, and whatever its name is."""
    written = []
    for place in ("one", "another/place"):
        folder = make_study(tmp_path / place, seeds=[0, 1], absent=["full-rte-0"], size=60)
        for path in (folder / "cells").glob("*/logs/history.jsonl"):
            path.unlink()  # learning curves take long to draw
        if place != "one":
            for path in (folder / "cells").glob("*/metrics.json"):
                path.write_text(path.read_text().replace('"seconds": 50.0', '"seconds": 51.0'))
        write_report(read_study(folder), folder / "report", "test/score", None, 100)
        names = ("tables.md", "tables.csv", "tables.tex", "seeds.svg", "score_and_parameters.svg", "seeds.png")
        written.append({name: (folder / "report" / name).read_bytes() for name in names})
        assert str(tmp_path) not in "".join((folder / "report" / name).read_text() for name in names[:3])
    assert written[0] == written[1]


def test_csv(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=[0, 1], others={"data.max_train_samples": [100]}, size=60)
    grid = make_grid(read_study(folder), "test/score")
    text = as_csv(grid, make_tables(grid, p_values(grid, "full", 100)))
    full, compacter = csv.DictReader(text.splitlines())
    assert list(full)[:5] == ["data.max_train_samples", "method", "title", "task", "metric"]
    assert full["p_value"] == "" and 0 < float(compacter["p_value"]) <= 1
    expected = 100 * np.array([score(folder, f"compacter-rte-100-{seed}") for seed in (0, 1)])
    assert float(compacter["mean"]) == pytest.approx(expected.mean(), abs=1e-6)
    assert float(compacter["std"]) == pytest.approx(expected.std(ddof=1), abs=1e-6)
    assert (compacter["n"], compacter["trained_parameters"]) == ("2", "161728")


def test_the_baseline(tmp_path: Path) -> None:
    grid = make_grid(read_study(make_study(tmp_path / "study", ["adapter", "full"], size=20)), "test/score")
    given = [find_baseline(grid, name) for name in (None, "full", "Full fine-tuning", "none")]
    assert given == ["adapter", "full", "full", None]
    with pytest.raises(UserError, match=r"no baseline 'ful'; expected one of adapter, full, none; did you mean 'full'"):
        find_baseline(grid, "ful")


def test_an_unknown_metric_and_no_result(tmp_path: Path) -> None:
    study = read_study(make_study(tmp_path / "study", seeds=[0], size=20))
    with pytest.raises(UserError, match=r"no result 'test/acuracy'; expected one of .*; did you mean 'test/accuracy'"):
        make_grid(study, "test/acuracy")
    nothing = write_study(tmp_path / "nothing", [cell_entry({"method": "full", "task": "rte", "seed": 0})])
    with pytest.raises(UserError, match="nothing has no test/score yet: none of its 1 cells is finished"):
        make_grid(read_study(nothing), "test/score")
    (nothing / "cells.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"cells.json is not a study's list of cells"):
        read_study(nothing)


def test_averages_are_of_all_tasks(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", tasks=["rte", "cola"], seeds=[0], size=30)
    assert tables_of(folder)[0].columns == ["rte", "cola", AVERAGE]
