"""How a task of the tiny benchmark is written, in both layouts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, List, Value

Row = dict[str, Any]
COUNTS = {"train": 12, "validation": 6, "test": 5}


@dataclass(frozen=True)
class Benchmark:
    """One task.

    Attributes:
        hub: Configuration on the hub.
        rows: Labeled rows as the hub has them, without idx; each split repeats them.
        names: Label names on the hub; None where labels are no classes.
        folder: Of the archive.
        columns: Official column → the hub's, of a labeled .tsv file; None for JSON.
        unlabeled: The same of the test set.
        official: A split's rows → the objects of a .jsonl file.
        files: Official split → file name.
        labelled_test: The test set has labels.
        hub_rows: Split and its rows → the same with what only the hub has in them.
    """

    hub: str
    rows: tuple[Row, ...]
    names: tuple[str, ...] | None
    folder: str
    columns: dict[str, str] | None = None
    unlabeled: dict[str, str] | None = None
    official: Callable[[list[Row]], list[Row]] = list
    files: dict[str, str] | None = None
    labelled_test: bool = False
    hub_rows: Callable[[str, list[Row]], list[Row]] = lambda split, rows: rows

    def split(self, name: str) -> list[Row]:
        """The hub's rows of a split."""
        kind = name.split("_")[0]
        rows = [
            row | ({} if "idx" in row else {"idx": i}) for i, row in enumerate(islice(cycle(self.rows), COUNTS[kind]))
        ]
        if kind == "test" and not self.labelled_test:
            unknown: Row = {"answers": []} if "answers" in rows[0] else {"label": -1 if self.names else -1.0}
            rows = [row | unknown for row in rows]
        return rows

    @property
    def layout(self) -> dict[str, str]:
        """Official split → path of its file in the archive."""
        tsv = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
        jsonl = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}
        return {
            split: f"{self.folder}/{name}" for split, name in (self.files or (tsv if self.columns else jsonl)).items()
        }

    def write_files(self, folder: Path) -> None:
        """The official files."""
        for split, name in self.layout.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = self.split(split)
            if self.columns is None:
                path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.official(rows)))
                continue
            columns = self.unlabeled if split.startswith("test") and self.unlabeled else self.columns
            words = dict(enumerate(self.names or ()))
            lines = ["\t".join(columns)] * (self.folder != "CoLA" or split == "test")
            for row in rows:
                row = row | {"number": row["label"], "label": words.get(row["label"], row["label"])}
                lines.append("\t".join(str(row.get(name, "x")) for name in columns.values()))
            path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig" if self.folder == "MRPC" else "utf-8")

    def write_hub(self, folder: Path) -> None:
        """A folder in the layout of the hub's repository, of this one configuration."""
        (folder / self.hub).mkdir(parents=True)
        for split in self.layout:
            rows = self.hub_rows(split, self.split(split))
            features = Features({name: _feature(value) for name, value in rows[0].items()})
            if self.names:
                features["label"] = ClassLabel(names=list(self.names))
            Dataset.from_list(rows, features=features).to_parquet(folder / self.hub / f"{split}-0.parquet")
        config = {
            "config_name": self.hub,
            "data_files": [{"split": split, "path": f"{self.hub}/{split}-*"} for split in self.layout],
        }
        (folder / "README.md").write_text(f"---\nconfigs: {json.dumps([config])}\n---\n")


def _feature(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _feature(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return List(Value("string"))
    return Value({str: "string", int: "int32", float: "float32"}[type(value)])


def pairs(first: str, second: str, labels: tuple[Any, ...] = (0, 1), **more: str) -> tuple[Row, ...]:
    """Rows of two texts, hard ones."""
    texts = (
        ('He said "no', "Über 🙂 cafés"),
        ("", "the first text is empty"),
        ("'quoted'", 'a "bare quote'),
        ("plain words in a row", "1.5 % of C:\\n is {braces} <b>"),
    )
    return tuple({first: a, second: b, "label": labels[i % len(labels)]} | more for i, (a, b) in enumerate(texts))


ENTAILMENT, BOOLEAN = ("entailment", "not_entailment"), ("False", "True")
