"""The input text of a row."""

from collections.abc import Mapping
from string import Formatter
from typing import Any

from lit_compacter.errors import UserError
from lit_compacter.tasks.answers import plain


class Template:
    """Text with columns in braces, such as `"question: {question} passage: {passage}"`.

    Args:
        text: The template; double a literal brace.

    Raises:
        UserError: A brace is not closed, no column is named, or the text between braces is not a column's name.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise UserError(f"template {text!r}: {error}; expected columns in braces, as in {{name}}") from error
        literals, columns = [""], []
        for literal, name, form, conversion in parts:
            literals[-1] += literal
            if name is not None:
                if not name or form or conversion:
                    raise UserError(f"template {text!r}: expected the name of a column between braces, as in {{name}}")
                columns.append(name)
                literals.append("")
        if not columns:
            raise UserError(f"template {text!r} names no column; expected one or more in braces, as in {{name}}")
        self.literals, self.columns = tuple(literals), tuple(columns)

    def segments(self, row: Mapping[str, Any]) -> list[str]:
        """Literals and column texts in turn, beginning and ending with a literal; joined they are the input."""
        segments = [self.literals[0]]
        for name, literal in zip(self.columns, self.literals[1:], strict=True):
            segments += [plain(row[name]), literal]
        return segments

    def over(self, columns: tuple[str, ...]) -> "Template":
        """The same template with other columns."""
        names = (f"{{{name}}}" for name in columns)
        literals = [literal.replace("{", "{{").replace("}", "}}") for literal in self.literals]
        return Template("".join(piece for pair in zip(literals, [*names, ""], strict=True) for piece in pair))


def fields(*names: str) -> Template:
    """The input text of the paper's code: `"<field>: <text> <field>: <text>"`."""
    return Template(" ".join(f"{name}: {{{name}}}" for name in names))
