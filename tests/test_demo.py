"""The claim of the embedded default: the skill lies in the frozen backbone, and Compacter brings it out."""

import json
from pathlib import Path

import pytest

from lit_compacter.cli.main import main
from tests.command_line import run_cli


def fit(root: Path, name: str, *more: str) -> dict[str, float]:
    """The metrics of demo.yaml."""
    arguments = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", f"--run_name={name}", *more]
    main(["fit", "--config=demo.yaml", f"--trainer.default_root_dir={root}", *arguments])
    return metrics(root / name)


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.soak
@pytest.mark.usefixtures("_project_root")
def test_compacter_learns_on_the_pretrained_backbone_only(tmp_path: Path) -> None:
    random = ["--model.pretrained=false", "--trainer.max_epochs=2"]  # it stays by chance in all ten: README's table
    assert fit(tmp_path, "random", *random)["val/best_score"] <= 0.65
    learned = fit(tmp_path, "pretrained", "--trainer.max_epochs=3")
    assert learned["val/accuracy"] >= 0.85

    # Evaluation in another process finds what training left: the adapter was loaded.
    more = ["--config=demo.yaml", "--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path}"]
    assert run_cli("validate", *more, "--run_name=pretrained", "--ckpt_path=last").returncode == 0
    assert metrics(tmp_path / "pretrained")["val/score"] == learned["val/score"]
    main(["test", *more, "--run_name=pretrained", "--ckpt_path=best"])
    assert metrics(tmp_path / "pretrained")["test/accuracy"] >= 0.85
