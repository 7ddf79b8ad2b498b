"""`main.py show`: examples, targets, lengths and cut rows."""

import re
from pathlib import Path

import pytest
from jsonargparse import set_parsing_settings

from lit_compacter.cli.main import main
from tests.conftest import TINY
from tests.official_data import BENCHMARKS


@pytest.mark.usefixtures("_project_root")
def test_the_embedded_task(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "--config", "demo.yaml"])
    told = capsys.readouterr().out
    assert told.startswith("rte: 2,000 examples to train")
    assert told.count("source (") == 3 and told.count("target (") == 3
    assert re.search(r"0 \(entailment\) +│ 1,029 │ 51\.5 │ █", told)
    assert "source tokens, percentiles" in told and "none is longer than 64 tokens" in told


@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize("name", ["record", "stsb", "axb", "multirc"])
def test_kinds_of_tasks(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BENCHMARKS[name].write_files(tmp_path)
    options = [f"--data.data_dir={tmp_path}", f"--model.model_name={TINY}", "--data.max_source_length=24"]
    main(["show", f"--config={name}.yaml", *options])
    told = capsys.readouterr().out
    assert "example 1" in told and "lose the end of their longest field" in told.replace("\n", " ")
    assert ("to predict" if name == "axb" else "to train") in told
    assert {"record": "Ann", "stsb": "3.8", "axb": "0 (entailment)", "multirc": "1"}[name] in told


@pytest.mark.usefixtures("_project_root")
def test_a_runs_own_config(first_run: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "--config", str(first_run[0] / "config.yaml")])
    assert "rte: 2,000 examples to train" in capsys.readouterr().out


@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--config=nosuch"], "error: no config file 'nosuch'"),
        (["--config=demo.yaml", "--data.tsak=rte"], "did you mean 'data.task'?"),
        (["--config=demo.yaml", "--data.streaming=true"], "show reads all training rows; give --data.streaming false"),
        ([], "no task is given; choose one: --config rte.yaml"),
    ],
)
def test_mistakes(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["show", *args])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.usefixtures("_project_root")
def test_help_explains_the_options_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    set_parsing_settings(docstring_parse_attribute_docstrings=False)  # which an earlier test may have left
    with pytest.raises(SystemExit):
        main(["show", "--help"])
    assert "Longest input in tokens" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("_project_root")
def test_training_rows_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "--config=text2text.yaml", "--data.validation_file=null", f"--model.model_name={TINY}"])
    assert "text2text: 2,000 examples to train" in capsys.readouterr().out
