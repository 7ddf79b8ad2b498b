"""The tables as LaTeX."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lit_compacter.reports.cells import read_study
from lit_compacter.reports.latex import escape
from lit_compacter.reports.report import write_report
from tests.reports.factory import METHODS, make_study

DOCUMENT = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{tables}\end{document}"


def test_special_characters() -> None:
    assert escape("a_b & 5 % ± (IA)³ \\") == r"a\_b \& 5 \% $\pm$ (IA)$^3$ \textbackslash "


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (texlive-latex-base)")
def test_a_document_with_the_tables_compiles(tmp_path: Path) -> None:
    folder = make_study(
        tmp_path / "100 % of_all & #1",
        list(METHODS)[:5],
        ["rte", "mrpc"],
        seeds=[0, 1],
        others={"data.max_train_samples": [100, 1000]},
        failed=["full-rte-100-0"],
        size=50,
    )
    write_report(read_study(folder), tmp_path / "report", "test/score", None, 50)
    (tmp_path / "report/main.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    result = subprocess.run(command, cwd=tmp_path / "report", capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Overfull" not in result.stdout and (tmp_path / "report/main.pdf").stat().st_size > 10_000
