"""Make `data/demo`: a small entailment task about the generated world, in the layout of GLUE's RTE."""

import csv
from pathlib import Path
from random import Random

from world import HELD_OUT_THINGS, TRAINING_THINGS, entailment_row

SEED = 1  # not the one of pretraining
# The things in dev and test occur in no training row. Half of dev validates, the other half tests.
SPLITS = {"train": (2000, TRAINING_THINGS), "dev": (800, HELD_OUT_THINGS), "test": (200, HELD_OUT_THINGS)}


def make(folder: Path) -> None:
    """Write train.tsv, dev.tsv and test.tsv."""
    rng = Random(SEED)
    seen: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for split, (count, things) in SPLITS.items():
        rows: list[list[str | int]] = []
        while len(rows) < count:
            premise, hypothesis, label = entailment_row(rng, things)
            if premise not in seen:  # no premise occurs twice
                seen.add(premise)
                rows.append([len(rows), premise, hypothesis, *([] if split == "test" else [label])])
        with (folder / f"{split}.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
            writer.writerow(["index", "sentence1", "sentence2", *([] if split == "test" else ["label"])])
            writer.writerows(rows)


if __name__ == "__main__":
    make(Path(__file__).parent / "demo" / "RTE")
