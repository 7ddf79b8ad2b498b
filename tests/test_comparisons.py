"""Comparisons: workers take turns, and what they answer ends up in tables, JSON and charts."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import checkpoint, epoch, evaluate, growth, padding, report, rows, train_step
from benchmarks.compare import Contestant, Result, choose, compete
from benchmarks.workers.data import tokenized_rows, write_rows
from tests.conftest import DEMO, TINY

FAKE = "tests.fake_worker"


def fakes(log: Path, **rounds: str) -> list[Contestant]:
    """Name → the seconds of each round."""
    return [Contestant(name, FAKE, [name, str(log), *seconds.split()]) for name, seconds in rounds.items()]


def test_contestants_take_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"
    outcome = compete(fakes(log, a="9 1 2 3", b="9 4 5 6", c="9 7 8 9"), rounds=3, warm_up=1, threads=1)
    assert log.read_text() == "abcbcacababc"
    assert {name: result.seconds for name, result in outcome.results.items()} == {
        "a": {"step": [1, 2, 3]},
        "b": {"step": [4, 5, 6]},
        "c": {"step": [7, 8, 9]},
    }
    result = outcome.results["a"]
    assert result.about["trained"] == 1 and {"python", "torch"} <= result.about["versions"].keys()
    assert 2**20 < result.peak_bytes < 2**30 and 2**20 < result.about["start_peak_bytes"] < 2**30


def test_peak_memory_is_that_of_the_work() -> None:
    """In a process of its own: what earlier tests left in this one may be freed meanwhile."""
    work = """
from benchmarks.workers import serve
serve.forget_peak("cpu")
print(serve.peak_memory("cpu"))
block = bytearray(2**26)
block[:: 2**10] = bytes(len(block) // 2**10)
print(serve.peak_memory("cpu"))
del block
serve.forget_peak("cpu")
print(serve.peak_memory("cpu"))
"""
    outcome = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    before, during, after = map(int, outcome.stdout.split())
    assert during > before + 2**25 and after < before + 2**25


def test_one_that_dies_or_is_missing_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [
        Contestant("absent", "nowhere.at_all"),
        Contestant("peer", FAKE, peer="none"),
        Contestant("package", FAKE, package="no_such_package"),
    ]
    contestants = [*fakes(tmp_path / "log", a="9 1 2", b="9 die"), *others]
    outcome = compete(contestants, rounds=2, warm_up=1, threads=1, peers=tmp_path)
    assert outcome.results.keys() == {"a"} and outcome.results["a"].seconds == {"step": [1, 2]}
    assert outcome.failed["b"] == "its process ended with 1: no memory left"
    assert "No module named 'nowhere'" in outcome.failed["absent"]
    assert outcome.left_out == {
        "peer": f"there is no {tmp_path}/none/bin/python; install it with: make bench-peers",
        "package": "no_such_package is not installed; install it with: pip install no_such_package",
    }
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "b failed: its process ended with 1: no memory left" in lines


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table, JSON and chart; a worker that died makes the exit code 1."""
    options = {"out": tmp_path / "out", "rounds": 3, "warm_up": 0, "threads": 1, "peers": tmp_path, "contestants": None}
    contestants = fakes(tmp_path / "log", floor="2 1 4", ours="1 2 1", dead="die")
    with pytest.raises(SystemExit, match="not measured: dead; the lines above say why"):
        report.run("some", contestants, {"size": "tiny"}, ["floor", "dead"], Namespace(**options))
    printed = capsys.readouterr().out
    table = (tmp_path / "out/some.md").read_text()
    assert table in printed and table.startswith("size tiny, rounds 3, warm_up 0, threads 1; ")
    assert "| ours | 4 | 1.000 | 1.000–1.500 | 1.000 | " in table and " | 0.500 | 1.000 | " in table
    assert (tmp_path / "out/some.png").stat().st_size > 1000
    content = json.loads((tmp_path / "out/some.json").read_text())
    found = content["contestants"]["ours"]
    assert found["seconds"] == {"step": [1, 2, 1]}
    assert found["summary"]["step"] == {"minimum": 1, "median": 1, "lower_quartile": 1, "upper_quartile": 1.5}
    assert found["over"]["floor"]["step"] == {"of_minima": 1.0, "of_medians": 0.5}
    assert content["failed"].keys() == {"dead"} and {"avx512_bf16", "amx_bf16"} <= content["machine"].keys()


def test_ratios() -> None:
    results = {
        "one": Result({}, {"train": [2.0, 3.0, 10.0], "start": [1.0]}, peak_bytes=300),
        "other": Result({}, {"train": [4.0, 4.0, 4.0]}, peak_bytes=200),
    }
    assert report.ratios(results, "one", "other") == {
        "train": {"of_minima": 0.5, "of_medians": 0.75},
        "peak_bytes": {"ratio": 1.5},
    }


def test_unknown_contestant() -> None:
    contestants = [Contestant("a", FAKE), Contestant("b", FAKE)]
    assert choose(contestants, ["b"]) == contestants[1:] and choose(contestants, None) == contestants
    with pytest.raises(SystemExit, match="unknown contestant 'c'; expected one of a, b"):
        choose(contestants, ["c"])


def test_exponents() -> None:
    points = {1.0: {"s": 3.0}, 2.0: {"s": 6.0}, 8.0: {"s": 96.0}}
    assert growth.exponents(points, "s") == pytest.approx([1, 2])


def test_padding() -> None:
    assert padding.padding([1, 3, 2], [[0, 1], [2]]) == pytest.approx((3 + 3 + 2) / 6)
    lengths = [1, 9] * 50
    found = padding.measure(lengths, 10)
    assert found["ours"] == 1.0 and found["file order"] == 1.8 and 1.5 < found["random order"] <= 1.8


def test_rows_are_those_of_the_file(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "rows", DEMO, {"train": 3, "dev": 2})
    lines = (DEMO / "RTE/train.tsv").read_text().splitlines()
    assert (folder / "RTE/train.tsv").read_text().splitlines() == lines[:4]

    def tokenizer(texts: list[str], **_: Any) -> Namespace:
        ids = [[len(text)] for text in texts]
        return Namespace(input_ids=ids, attention_mask=ids)

    rows = tokenized_rows(folder, "dev", tokenizer)
    assert len(rows) == 2 and rows[0].keys() == {"input_ids", "attention_mask", "labels"} and rows[0]["labels"] == [1]


def run(module: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    module.main()


def test_padding_of_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = [f"--data_dir={DEMO}", f"--model_name={TINY}", f"--out={tmp_path}"]
    run(padding, monkeypatch, *options, "--tasks", "rte", "sst2")
    printed = capsys.readouterr().out
    assert "sst2 is left out: no file" in printed and "| rte | " in printed
    assert json.loads((tmp_path / "padding.json").read_text())["tasks"]["rte"]["padded_over_real"]["ours"] < 1.2


@pytest.mark.soak
@pytest.mark.parametrize(
    ("module", "name", "options"),
    [
        (train_step, "train_step", ["--contestants", "floor", "ours fp32", "ours bf16 backbone"]),
        (evaluate, "evaluate", ["--rows=8", "--contestants", "bare T5", "ours fp32", "Hugging Face, file order"]),
        (epoch, "epoch", ["--train_rows=8", "--eval_rows=4", "--contestants", "floor", "ours bf16-mixed", "PEFT LoRA"]),
        (
            growth,
            "growth",
            ["--sizes", "tiny", "--batch_sizes", "2", "4", "--lengths", "8", "16", "--adapters", "1", "3"],
        ),
    ],
)
def test_comparisons(
    module: Any, name: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(module, monkeypatch, "--size=tiny", "--rounds=1", "--threads=1", f"--out={tmp_path}", *options)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.json", f"{name}.md", f"{name}.png"}


@pytest.mark.soak
def test_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(checkpoint, monkeypatch, "--size=tiny", "--methods", "compacter", "full", f"--out={tmp_path}")
    found = json.loads((tmp_path / "checkpoint.json").read_text())["methods"]
    assert found["full"]["over_ideal"] < 1.1 and found["compacter"]["bytes"] > 12 * found["compacter"]["trained"]


@pytest.mark.soak
def test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [
        "--rows",
        "300",
        "3000",
        "--num_proc=2",
        "--rounds=1",
        "--speed_rows=300",
        f"--folder={tmp_path / 'rows'}",
    ]
    run(rows, monkeypatch, *options, f"--out={tmp_path / 'out'}")
    found = json.loads((tmp_path / "out/rows.json").read_text())
    assert list(found["rows"]) == ["300", "3000"] and (tmp_path / "out/rows.png").exists()
    for starts in found["rows"].values():
        assert all(100 < peaks["anonymous_mb"] < peaks["with_files_mb"] for peaks in starts.values())
