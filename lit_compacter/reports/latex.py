r"""The tables as LaTeX, for a document that has \usepackage{booktabs} and \input{tables.tex}."""

from collections.abc import Sequence

from lit_compacter.reports.notes import MARK
from lit_compacter.reports.tables import Entry, Table
from lit_compacter.reports.texts import PARAMETERS, entry_texts, parameter_texts

SPECIAL = {
    "\\": r"\textbackslash ",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde ",
    "^": r"\textasciicircum ",
    "±": r"$\pm$",
    "×": r"$\times$",
    "³": "$^3$",
    "–": "--",
    MARK: r"$^\dagger$",
    "<": "$<$",
    ">": "$>$",
}
WIDE = 6  # columns; a table with more is set smaller


def as_latex(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Each table as an environment labeled tab:results, tab:results-2, …; the last has the notes in its caption."""
    parts = [r"% \usepackage{booktabs}" "\n"]
    for number, table in enumerate(tables, 1):
        sentences = [f"{table.title}."] * bool(table.title) + list(notes) * (number == len(tables))
        parts.append(_table(table, escape(" ".join(sentences)), "results" if number == 1 else f"results-{number}"))
    return "\n".join(parts)


def _table(table: Table, caption: str, label: str) -> str:
    is_wide = len(table.columns) > WIDE
    two_lines = [escape(title).replace(" ", r"\\", 1) for title in PARAMETERS]
    header = ["", *map(escape, table.titles), *(rf"\shortstack[r]{{{title}}}" for title in two_lines)]
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label}}}",
        r"\smallskip",
        r"\scriptsize\setlength{\tabcolsep}{2pt}" if is_wide else r"\small\setlength{\tabcolsep}{4pt}",
        r"\makebox[\textwidth][c]{%",  # a table that is wider than the text extends into both margins
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        entries = [_entry(entry, table.count) for entry in row.entries]
        lines.append(" & ".join([escape(row.title), *entries, *map(escape, parameter_texts(row))]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "".join(f"{line}\n" for line in lines)


def _entry(entry: Entry | None, count: int) -> str:
    """The standard deviation is below the line, and what else there is above it, because the tables are wide."""
    if entry is None:
        return "--"
    mean, std = entry_texts(entry)
    above = r"\dagger" * entry.is_significant + rf"\,n={entry.count}" * (entry.count != count)
    index = (f"^{{{above}}}" if above else "") + (rf"_{{\pm {std}}}" if std else "")
    return (rf"\textbf{{{mean}}}" if entry.is_best else mean) + (f"${index}$" if index else "")


def escape(text: str) -> str:
    """A text with LaTeX's special characters escaped."""
    return "".join(SPECIAL.get(char, char) for char in text)
