"""`main.py study`: its options, files and mistakes. tests/studies/ runs the cells."""

import shlex
from pathlib import Path

import pytest

from lit_compacter.cli.configs import CONFIGS
from lit_compacter.cli.main import main
from lit_compacter.cli.study import parse
from tests.command_line import error

STUDIES = sorted(path.stem for path in CONFIGS.glob("studies/*.yaml"))
STUDY = """
configs: [demo.yaml]
axes:
  method: [compacter, lora]
  seed: [1, 2]
trainer: {max_epochs: 3, precision: bf16-mixed}
presets:
  smoke: {axes: {seed: [1]}, trainer: {max_epochs: 1}}
"""

pytestmark = pytest.mark.usefixtures("_project_root")


@pytest.fixture
def study(tmp_path: Path) -> str:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return f"--config={path}"


def dry_run(capsys: pytest.CaptureFixture[str], *args: str) -> list[str]:
    main(["study", *args, "--output=out", "--dry_run"])
    return capsys.readouterr().out.splitlines()


def test_dry_run_prints_the_commands(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = dry_run(capsys, study)
    assert len(lines) == 8
    name = "method=compacter,seed=1"
    assert shlex.split(lines[0]) == [
        "lit-compacter",
        *("fit", "--config=demo.yaml", "--config=methods/compacter.yaml"),
        *("--trainer.max_epochs=3", "--trainer.precision=bf16-mixed", "--seed_everything=1"),
        *("--trainer.default_root_dir=out/cells", f"--run_name={name}", "--ckpt_path=last"),
    ]
    assert shlex.split(lines[1]) == [
        "lit-compacter",
        *("test", f"--config=out/cells/{name}/config.yaml", f"--run_name={name}", "--ckpt_path=best"),
    ]
    assert not Path("out").exists()


def test_the_command_line_overrides_a_preset_and_a_preset_the_file(study: str) -> None:
    options = parse([study, "--preset=smoke", "--trainer.precision=32-true", "--configs+=trainer/cpu.yaml"])
    assert options.axes == {"method": ["compacter", "lora"], "seed": [1]}
    assert options.trainer == {"max_epochs": 1, "precision": "32-true"}
    assert options.configs == ["demo.yaml", "trainer/cpu.yaml"]


def test_sections_may_be_empty(tmp_path: Path) -> None:
    path, file = tmp_path / "study.yaml", f"--config={tmp_path / 'study.yaml'}"
    path.write_text("axes: {seed: [1]}\ntrainer:\nsearch: {a: [1]}\npresets:\n  smoke: {search: }\n  tiny:\n")
    options = parse([file, "--preset=smoke"])
    assert options.trainer == options.search == {}
    assert parse([file, "--preset=tiny"]).search == {"a": [1]}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("preset", [pytest.param([], marks=pytest.mark.soak), ["--preset=smoke"]])
def test_the_shipped_studies(name: str, preset: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = dry_run(capsys, f"--config=studies/{name}.yaml", *preset)
    text = (CONFIGS / f"studies/{name}.yaml").read_text()
    assert f" {len(lines) // 2} cells." in text or preset
    assert len(lines) <= 30 if preset else " on one A100" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--axes={methods: [lora]}"], "unknown axis 'methods'; expected config, task, method, seed, variant or an"),
        (["--axes={method: [lorra]}"], "lorra: no config file 'methods/lorra.yaml'; did you mean 'lora'?"),
        (["--axes={task: [ret]}"], "did you mean 'rte'?"),
        (["--axes={data.max_train_sample: [1]}"], "did you mean 'data.max_train_samples'?"),
        (["--axes={data.batch_size: [0]}"], "data.batch_size is 0; expected a whole number above 0"),
        (["--axes={}"], "the study has no axes"),
        (["--preset=smoky"], "no preset 'smoky'; expected one of smoke; did you mean 'smoke'?"),
        (["--job=2"], "job"),
        (["--output=null"], "study needs --output"),
        (["--config=nosuch"], "no config file 'nosuch'"),
    ],
)
def test_mistakes(args: list[str], message: str, study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in error(capsys, "study", study, "--output=out", *args)


@pytest.mark.parametrize(("name", "line"), [("axis", "did you mean 'axes'?"), ("preset_s", "did you mean 'presets'?")])
def test_an_unknown_section(name: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(f"configs: [demo.yaml]\n{name}: {{}}\n")
    message = error(capsys, "study", f"--config={tmp_path}/study.yaml", "--output=out")
    assert message.startswith(f"error: a study has no '{name}'; {line} (it has configs, axes, exclude, overrides, ")


def test_help_explains_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["study", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Combinations to leave out" in told and "Cells that run at a time" in told
