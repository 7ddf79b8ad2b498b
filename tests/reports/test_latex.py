"""The tables as LaTeX."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lit_compacter.reports.bootstrap import p_values
from lit_compacter.reports.cells import read_study
from lit_compacter.reports.grid import make_grid
from lit_compacter.reports.latex import as_latex, escape
from lit_compacter.reports.notes import find_missing, make_notes
from lit_compacter.reports.tables import make_tables
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
    grid = make_grid(read_study(folder), "test/score")
    tables = make_tables(grid, p_values(grid, "full", 50))
    text = as_latex(tables, make_notes(grid, tables, "full", 50, find_missing(grid)))
    assert r"\dagger" in text and "n=1" in text
    (tmp_path / "tables.tex").write_text(text)
    (tmp_path / "main.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Overfull" not in result.stdout and (tmp_path / "main.pdf").stat().st_size > 10_000
