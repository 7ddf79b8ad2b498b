"""The notebook docs/quickstart.ipynb runs from its first cell to its last."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def test_the_notebook() -> None:
    cells = json.loads((ROOT / "docs/quickstart.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    checks = ["assert first['val/accuracy'] > 0.9 and second['val/accuracy'] > 0.9"]
    checks += ["assert answers['first'] == answers['second'] == ['entailment', 'not_entailment']"]
    checks += ["assert not [name for name in model.state_dict() if 'adapter' in name]"]
    process = [sys.executable, "-c", "\n".join([*code, *checks])]
    result = subprocess.run(process, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stderr
