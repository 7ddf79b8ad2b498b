"""The tables as Markdown and CSV."""

import csv
import io
from collections.abc import Sequence

from lit_compacter.reports.grid import Grid
from lit_compacter.reports.notes import MARK
from lit_compacter.reports.tables import DECIMALS, Entry, Row, Table

NOTHING = "–"
PARAMETERS = ("Trained parameters", "% of all")


def as_markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """All tables, each with a heading if there are several, and the notes."""
    parts = []
    for table in tables:
        if table.title:
            parts.append(f"## {_escape(table.title)}\n")
        header = ["", *map(_escape, table.titles), *PARAMETERS]
        lines = [header, ["---", *("---:" for _ in header[1:])]]
        for row in table.rows:
            entries = [_entry(entry, table.count) for entry in row.entries]
            lines.append([_escape(row.title), *entries, *parameter_texts(row)])
        parts.append("".join(f"| {' | '.join(cells)} |\n" for cells in lines))
    parts.append("\n".join(f"- {_escape(note)}" for note in notes) + "\n")
    return "\n".join(parts)


def _entry(entry: Entry | None, count: int) -> str:
    if entry is None:
        return NOTHING
    mean, std = entry_texts(entry)
    text = f"{mean} ± {std}" if std else mean
    text = f"**{text}**" if entry.is_best else text
    return text + MARK * entry.is_significant + (f" (n = {entry.count})" if entry.count != count else "")


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("_", "\\_")


def entry_texts(entry: Entry) -> tuple[str, str]:
    """Mean and standard deviation as they are written; the latter is empty if it is unknown."""
    return f"{entry.mean:.{DECIMALS}f}", "" if entry.std is None else f"{entry.std:.{DECIMALS}f}"


def parameter_texts(row: Row) -> tuple[str, str]:
    """`161,728` and `0.073`, or the least and the most of both."""
    trained = [] if row.trained is None else [f"{count:,}" for count in row.trained]
    share = [] if row.share is None else [f"{share:.3f}" for share in row.share]
    return "–".join(dict.fromkeys(trained)) or NOTHING, "–".join(dict.fromkeys(share)) or NOTHING


def as_csv(grid: Grid, tables: Sequence[Table]) -> str:
    """The tables in tidy form: a line for each entry, in percent with six decimals, and empty where it is unknown."""
    axes = list(dict.fromkeys(axis for fixed in grid.tables for axis, _ in fixed))
    row_axis = grid.row_axis or "row"
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    results = ("metric", "mean", "std", "n", "p_value", "trained_parameters", "trained_percent")
    writer.writerow([*axes, row_axis, "title", "task", *results])
    for table in tables:
        fixed = dict(table.fixed)
        for row in table.rows:
            for column, entry in zip(table.columns, row.entries, strict=True):
                if entry is None:
                    continue
                numbers = [entry.mean, entry.std, entry.count, entry.p_value]
                parameters = [row.trained and row.trained[0], row.share and row.share[0]]
                cells = [*(fixed.get(axis) for axis in axes), row.value, row.title, column, grid.metric]
                writer.writerow([_plain(cell) for cell in (*cells, *numbers, *parameters)])
    return buffer.getvalue()


def _plain(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else value
