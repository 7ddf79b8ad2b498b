"""What a command does not import, because it would only make its start slower."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, get_linear_schedule_with_warmup

from lit_compacter.backbones.tokenizer import tokenizer_fingerprint
from lit_compacter.runtime.process_state import pause_garbage_collection
from lit_compacter.schedule import share_of_peak
from tests.command_line import command
from tests.conftest import ROOT, TINY

MARK = "imported:"
# As `python main.py`, and at its end the names of all modules.
CODE = f"""
import atexit, sys
atexit.register(lambda: print("{MARK}", *sys.modules, file=sys.stderr))
from lit_compacter.cli.main import main
sys.argv[0] = "main.py"
main()
"""


def imported(*arguments: str) -> set[str]:
    """The packages and modules that a command imports."""
    process = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode in (0, 2), process.stderr
    (line,) = (line for line in process.stderr.splitlines() if line.startswith(MARK))
    return set(line.removeprefix(MARK).split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fti"], []], ids=lambda words: " ".join(words))
def test_no_library_before_the_verb_is_known(arguments: list[str]) -> None:
    slow = {"torch", "pytorch_lightning", "transformers", "datasets", "numpy", "jsonargparse", "yaml", "rich"}
    assert not slow & imported(*arguments)


@pytest.mark.parametrize(
    "arguments", [["study", "--help"], ["study", "--axes={}", "--job=2"], ["report", "--help"], ["report"]]
)
def test_studies_and_reports_parse_their_options_without_slow_libraries(arguments: list[str]) -> None:
    slow = {"torch", "pytorch_lightning", "transformers", "datasets", "numpy", "matplotlib", "optuna", "ray"}
    assert not slow & imported(*arguments)


@pytest.mark.parametrize("arguments", [["fit", "--help"], ["fit", "--config", "demo.yaml", "--trainer.max_epoch", "1"]])
def test_no_data_before_the_options_are_known(arguments: list[str]) -> None:
    assert "torch" in (modules := imported(*arguments))
    assert not {"datasets", "pandas", "pyarrow", "peft", "tensorboard"} & modules
    assert not {"lit_compacter.reports", "lit_compacter.studies", "optuna", "ray"} & modules


def test_a_fit_imports_no_peft(tmp_path: Path) -> None:
    assert {"torch", "datasets"} <= (modules := imported(*command("fit", tmp_path)))
    assert "peft" not in modules


def test_garbage_collection_continues() -> None:
    with pause_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()


def test_the_schedule_is_that_of_transformers() -> None:
    for warmup, steps in ((0, 5), (3, 10), (10, 10), (12, 10)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        theirs = get_linear_schedule_with_warmup(optimizer, warmup, steps).lr_lambdas[0]
        assert [share_of_peak(step, warmup, steps) for step in range(15)] == [theirs(step) for step in range(15)]


def test_the_fingerprint_of_a_tokenizer_ignores_its_calls() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    before = tokenizer_fingerprint(tokenizer)
    cut = tokenizer(["a b c", "a"], truncation=True, max_length=2, padding=True)
    assert tokenizer_fingerprint(tokenizer) == before
    assert tokenizer(["a b c", "a"], truncation=True, max_length=2, padding=True) == cut
    tokenizer.add_tokens(["<new>"])
    assert tokenizer_fingerprint(tokenizer) != before
