"""Make a task from data sets that are at hand: which of them is a sentence from?

`python -m benchmarks.sources --glue DIR --out OUT` writes train.jsonl, validation.jsonl and test.jsonl, in
equal shares from sentences of CoLA, of MRPC, and from RTE's hypotheses.
"""

import argparse
import csv
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

SPLITS = {"train": 2100, "validation": 600, "test": 900}  # rows


def tsv(path: Path, *columns: int) -> Iterator[str]:
    """The texts of some columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield from (row[column] for column in columns)


def texts(glue: Path) -> dict[str, Iterable[str]]:
    """Label → texts."""
    return {
        "cola": tsv(glue / "CoLA/train.tsv", 3),
        "mrpc": tsv(glue / "MRPC/train.tsv", 3),
        "rte": tsv(glue / "RTE/train.tsv", 2),
    }


def plain(text: str) -> str:
    """Lowercase words without punctuation, so that its style does not give the answer away."""
    kept = "".join(character if character.isalnum() else " " for character in text.lower())
    return " ".join(kept.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glue", type=Path, required=True, help="folder with CoLA, MRPC and RTE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    generator, rows = random.Random(args.seed), []
    sources = texts(args.glue)
    share = sum(SPLITS.values()) // len(sources)
    for label, found in sources.items():
        different = list(dict.fromkeys(filter(None, map(plain, found))))[1:]  # the first line of some files is a header
        rows += [{"sentence": text, "label": label} for text in generator.sample(different, share)]
    generator.shuffle(rows)
    start = 0
    for split, count in SPLITS.items():
        part = rows[start : start + count]
        (args.out / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in part))
        print(f"{split}: {len(part):,} rows")
        start += count


if __name__ == "__main__":
    main()
