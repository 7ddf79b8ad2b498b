"""The benchmarks run, write what they say, and go on where they were stopped."""

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from benchmarks import efficiency, figure, link, methods, sharded, startup
from benchmarks.hosts import obstacle
from benchmarks.results import differences
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.cli.defaults import load_method
from lit_compacter.methods.titles import TITLES
from tests.conftest import DEMO, ROOT, TINY

pytestmark = pytest.mark.slow

SMALL = [f"--model_name={TINY}", "--batch_size=2", "--length=8", "--steps=1", "--device=cpu"]


def never(*_: object) -> str:
    raise AssertionError("measured again")


@pytest.mark.soak
def test_efficiency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["efficiency", f"--out={tmp_path}", *SMALL, "--methods", "full", "layer_norms"]
    monkeypatch.setattr(sys, "argv", start)
    efficiency.main()
    kept = (tmp_path / "efficiency.json").read_text()
    results = json.loads(kept)["methods"]
    assert {name: result["trained"] for name, result in results.items()} == {"full": 1_157_632, "layer_norms": 1_792}
    assert results["layer_norms"]["checkpoint_bytes"] < 20_000 < results["full"]["checkpoint_bytes"]
    table = (tmp_path / "efficiency.md").read_text()
    assert "| Full fine-tuning | 1,157,632 | 100.000 |" in table and "| 1.00 |" in table
    by_time = (tmp_path / "efficiency.png").read_bytes()

    monkeypatch.setattr(efficiency, "run", never)
    scores = tmp_path / "methods.json"
    scores.write_text(json.dumps({"methods": {"full": {"val/score": 0.9}}}))
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", [*start, "--scores", str(scores)])
    efficiency.main()
    assert table in capsys.readouterr().out
    assert (tmp_path / "efficiency.png").read_bytes() != by_time

    for other, said in {
        "--length=9": "full was measured with length 8, now 9; give another --out",
        "--batch_size=1": "batch_size 2, now 1",
        "--steps=2": "steps 1, now 2",
        "--bf16": "precision fp32, now bf16 autocast",
    }.items():
        monkeypatch.setattr(sys, "argv", [*start, other])
        with pytest.raises(SystemExit, match=said):
            efficiency.main()
    monkeypatch.setattr(efficiency, "load_method", lambda name: load_method("lora"))
    monkeypatch.setattr(sys, "argv", start)
    with pytest.raises(SystemExit, match=r"full was measured with method.class FullFineTuning, now Peft"):
        efficiency.main()

    for file in ("efficiency.md", "efficiency.png"):
        (tmp_path / file).unlink()
    monkeypatch.setattr(sys, "argv", ["efficiency", f"--out={tmp_path}", "--redraw"])  # whatever it was measured with
    efficiency.main()
    assert (tmp_path / "efficiency.md").read_text() == table and (tmp_path / "efficiency.png").exists()
    assert (tmp_path / "efficiency.json").read_text() == kept


@pytest.mark.parametrize("by_score", [False, True])
def test_names_in_the_figure_do_not_overlap(by_score: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither each other nor a point, on logarithmic axes; the crowded published results."""
    folder = ROOT / "docs/results"
    results = json.loads((folder / "efficiency/efficiency.json").read_text())["methods"]
    scored = json.loads((folder / "mrpc/methods.json").read_text())["methods"]
    scores = {name: result["val/score"] for name, result in scored.items()} if by_score else {}
    drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.pyplot.close", drawn.append)
    figure.draw(results, scores, tmp_path / "figure.png")
    (axes,) = drawn[-1].axes  # matplotlib 3.9 closes others before
    assert axes.get_xscale() == "log" and axes.get_yscale() == ("linear" if by_score else "log")
    names = [text for text in axes.texts if text.get_text()]
    assert sorted(text.get_text() for text in names) == sorted(TITLES.values())
    boxes = [text.get_window_extent() for text in names]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    points = axes.transData.transform(axes.collections[0].get_offsets())
    assert not any(box.contains(*point) for box in boxes for point in points)
    assert all(axes.get_window_extent().contains(x, y) for box in boxes for x, y in box.corners())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["2 GB", "4 GB", "8 GB"]


def test_every_method_has_a_title() -> None:
    assert TITLES.keys() == set(METHOD_NAMES)


def test_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(f"data:\n  task: rte\n  data_dir: {DEMO}\nmodel:\n  model_name: {TINY}\n")
    options = ["--config", str(config), "--trainer.max_epochs", "1", "--seed_everything=1"]
    options += ["--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"]
    start = ["methods", f"--out={tmp_path}", "--methods", "layer_norms", "--", *options]
    monkeypatch.setattr(sys, "argv", start)
    methods.main()
    kept = (tmp_path / "methods.json").read_text()
    result = json.loads(kept)["methods"]["layer_norms"]
    assert {"val/accuracy", "val/score", "first_loss", "last_loss", "seconds"} <= result.keys()
    assert result["trained"] == 1_792 and result["percent"] == pytest.approx(0.155, abs=0.001)
    assert result["command"].startswith(f"python main.py fit --config {config} --config methods/NAME.yaml --trainer")
    assert "| Layer norms | 0.155 |" in (tmp_path / "methods.md").read_text()

    monkeypatch.setattr(methods, "run", never)
    capsys.readouterr()
    methods.main()
    assert "| Layer norms |" in capsys.readouterr().out

    def refused(arguments: list[str], said: str) -> None:
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit, match=said):
            methods.main()
        assert (tmp_path / "methods.json").read_text() == kept

    seed = [word.replace("=1", "=2") for word in start]
    refused(
        seed, "layer_norms was measured with options --seed_everything 1, now --seed_everything 2; give another --out"
    )
    refused([*start, "--model.weight_decay=0.1"], "options nothing, now --model.weight_decay 0.1")
    refused(
        [*start[:2], "--own", "layer_norms", "--model.seed 3", *start[2:]], "method.options nothing, now --model.seed 3"
    )
    config.write_text(config.read_text() + "  learning_rate: 0.5\n")
    refused(start, r"own.yaml.model.learning_rate not given, now 0.5; give another --out")
    monkeypatch.setattr(sys, "argv", ["methods", f"--out={tmp_path}", "--redraw"])
    methods.main()
    assert (tmp_path / "methods.json").read_text() == kept and "| Layer norms |" in capsys.readouterr().out
    refused(["methods", f"--out={tmp_path}"], "2")


def test_what_a_result_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, backbone, versions and machine; not how an option is written."""
    rows, folder = tmp_path / "train.csv", tmp_path / "model"
    rows.write_text("a,b\n1,2\n")
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    options = ["--config=text2text.yaml", f"--data.train_file={rows}", "--model.model_name", str(folder)]
    before = methods.measured_with("lora", options, [])
    assert before == methods.measured_with("lora", [part for word in options for part in word.split("=")], [])
    rows.write_text("a,b\n1,3\n")
    assert differences(before, methods.measured_with("lora", options, [])).startswith("content.data.train_file ")
    rows.write_text("a,b\n1,2\n")
    (folder / "config.json").write_text('{"d_model": 1}')
    assert differences(before, methods.measured_with("lora", options, [])).startswith("content.model.model_name ")
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr("platform.python_version", lambda: "99.0")
    assert "python 3." in differences(before, methods.measured_with("lora", options, []))


def entry(score: float, trained: int, **shared: str) -> dict[str, Any]:
    """A result of the methods benchmark."""
    measured = {"options": [], "method": {"options": []}} | shared
    values = {"val/score": score, "val/f1": 0.81395349, "first_loss": 12.34567, "last_loss": 0.034567, "seconds": 1936}
    return values | {"trained": trained, "percent": trained / 1e4, "command": "c", "measured_with": measured}


def test_the_table_is_as_a_papers() -> None:
    """Best first, equal ones by size; percent with one decimal, losses with three digits."""
    results = {"compacter": entry(0.75, 70), "compacter_pp": entry(0.75, 40), "full": entry(0.80, 900)}
    rows = [row.split(" | ") for row in methods.markdown(results).splitlines() if row.startswith("| ")]
    assert [row[0] for row in rows[2:]] == ["| Full fine-tuning", "| Compacter++", "| Compacter"]
    assert rows[0][1:] == ["trained, %", "F1, %", "score, %", "first loss", "last loss", "time, s |"]
    assert rows[2][1:] == ["0.090", "81.4", "80.0", "12.3", "0.0346", "1,936 |"]


def test_results_that_do_not_say_what_they_were_measured_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "methods.json").write_text('{"methods": {"lora": {"val/score": 0.5}}}')
    for more in (["--redraw"], ["--methods", "full", "--", "--config=rte.yaml"]):
        monkeypatch.setattr(sys, "argv", ["methods", f"--out={tmp_path}", *more])
        with pytest.raises(SystemExit, match="lora does not say what it was measured with; give another --out"):
            methods.main()


@pytest.mark.parametrize("benchmark", [efficiency, methods])
def test_nothing_to_redraw(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", f"--out={tmp_path / 'none'}", "--redraw"])
    with pytest.raises(SystemExit, match="json holds no results to redraw"):
        benchmark.main()


def test_what_was_measured_otherwise_stands_in_another_table() -> None:
    results = {name: entry(0.5, 1, torch=version) for name, version in (("lora", "1"), ("ia3", "1"), ("full", "2"))}
    first, second = methods.markdown(results).split("\n\n    c\n")
    assert "LoRA" in first and "(IA)³" in first and "Full" not in first and "Full fine-tuning" in second


def test_the_methods_file_wins_over_configs_and_loses_to_options() -> None:
    options = ["--config", "demo.yaml", "-c=text2text.yaml", "--data.batch_size", "3"]
    expected = ["--config", "demo.yaml", "-c=text2text.yaml", "--config", "x", "--data.batch_size", "3"]
    assert methods.with_method("x", options) == expected
    assert methods.with_method("x", ["--run_name=a"]) == ["--config", "x", "--run_name=a"]


@pytest.mark.soak
def test_what_could_not_be_measured_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of T5-base's sizes that do not fit the smallest model."""
    monkeypatch.setattr(sys, "argv", ["efficiency", *SMALL, f"--out={tmp_path}", "--methods", "full", "adapter_drop"])
    with pytest.raises(SystemExit, match="not measured: adapter_drop;"):
        efficiency.main()


@pytest.mark.soak
@pytest.mark.skipif((reason := obstacle()) is not None, reason=f"two hosts on one machine: {reason}")
def test_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both hosts send the gradients once per step, and the slow link takes its round trip."""
    monkeypatch.setattr(sys, "argv", ["link", f"--out={tmp_path}", "--methods=compacter", "--size=tiny", "--rounds=1"])
    link.main()
    found = json.loads((tmp_path / "link.json").read_text())["methods"]["tiny/compacter"]
    for sent in (found[name]["sent_bytes"] for name in (link.FAST, link.SLOW)):
        assert 4 * found["trained"] < min(sent) < 2 * 4 * found["trained"]
    slow, fast = (min(found[name]["seconds"]) for name in (link.SLOW, link.FAST))
    assert slow > fast + 0.02
    assert (tmp_path / "link.png").exists() and "| T5-tiny, Compacter | 4,768 |" in (tmp_path / "link.md").read_text()


@pytest.mark.soak
def test_startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["startup", "--rounds=1", f"--out={tmp_path}"])
    startup.main()
    results = json.loads((tmp_path / "startup.json").read_text())
    assert results["ratios"][startup.IMPORTS]["of_minima"] == 1
    assert results["ratios"]["--help"]["of_medians"] < 1
    assert startup.FIRST_STEP in (tmp_path / "startup.md").read_text()


@pytest.mark.soak
def test_sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--size=tiny", "--processes=2", "--steps=1", f"--models={tmp_path}", f"--out={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["sharded", *options])
    sharded.main()
    results = json.loads((tmp_path / "sharded.json").read_text())["results"]
    held = {name: found["held_mb"] for name, found in results.items()}
    whole = held["ddp, float32, 2 processes"]
    assert held["sharded, float32, 2 processes"] == pytest.approx(whole / 2, rel=0.02)
    assert held["sharded, bfloat16, 2 processes"] == pytest.approx(whole / 4, rel=0.04)
    assert all(found["ready_mb"] > 0 and found["step_s"] > 0 for found in results.values())
    assert (tmp_path / "sharded.md").exists() and (tmp_path / "sharded.png").exists()
