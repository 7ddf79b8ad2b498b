"""What stands on a terminal of 80 columns."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import command
from tests.conftest import ROOT

PROGRESS = "--trainer.enable_progress_bar=true"


def on_terminal(arguments: list[str]) -> list[str]:
    """What a process shows on a terminal at its end: of a line that is written anew the last writing."""
    parent, child = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "main.py", *arguments], cwd=ROOT, env=environment, stdout=child, stderr=child, stdin=child
    )
    os.close(child)
    shown = b""
    try:
        while read := os.read(parent, 2**16):
            shown += read
    except OSError:  # its end
        pass
    os.close(parent)
    assert process.wait() == 0, shown.decode()
    lines = [""]
    up, clear = "\x1b[1A", "\x1b[2K"
    for part in re.split(r"(\r\n|\r|\x1b\[1A|\x1b\[2K)", shown.decode()):
        if part == "\r\n":
            lines.append("")
        elif part == up:
            lines.pop()
        elif part in ("\r", clear):
            lines[-1] = ""
        else:
            lines[-1] += re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", part)
    return [line.rstrip() for line in lines]


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of Unix")
def test_fit_and_predict(tmp_path: Path) -> None:
    options = ["--run_name=run", PROGRESS, "--trainer.profiler=simple"]
    lines = on_terminal(command("fit", tmp_path, *options, "--trainer.max_epochs=2"))
    bars = [line for line in lines if "━━━" in line and "Epoch" in line]
    assert len(bars) == 1, "\n".join(lines)
    assert re.search(r"^Epoch 1/1 +━+ 2/2 \S+ train/loss: \d\.\d{3} val/score: 0\.000$", bars[0])
    assert not any(re.search(r"v_num|Test metric|Profiler Report", line) for line in lines)
    assert f"profiler report: {tmp_path / 'run/fit-profile.txt'}" in lines
    assert "Profiler Report" in (tmp_path / "run/fit-profile.txt").read_text()
    assert len(bars[0]) <= 80

    lines = on_terminal(command("predict", tmp_path, "--run_name=run", "--ckpt_path=best", PROGRESS))
    assert sum("━━━" in line for line in lines) == 1
    assert any(line.startswith(f"64 predictions in {tmp_path / 'run/predictions.jsonl'} (") for line in lines)
    assert (tmp_path / "run/config-predict.yaml").exists()
