"""The embedded data and vocabulary are what `make backbone` makes."""

import re
import sys
from pathlib import Path
from random import Random

import pytest
from transformers import AutoTokenizer

from tests.conftest import DEMO, ROOT, TINY


@pytest.fixture(autouse=True)
def _data_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "data"))
    for name in ("world", "make_demo", "pretrain"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_task_is_reproduced(tmp_path: Path) -> None:
    from make_demo import make

    make(tmp_path)
    for split in ("train", "dev", "test"):
        assert (tmp_path / f"{split}.tsv").read_text() == (DEMO / "RTE" / f"{split}.tsv").read_text()


def test_held_out_rows_name_other_things() -> None:
    from world import KIND_OF

    def things(split: str) -> set[str]:
        return set(re.findall(r"\w+", (DEMO / "RTE" / f"{split}.tsv").read_text())) & KIND_OF.keys()

    assert len(things("train")) == 80 and len(things("dev")) == 40
    assert not things("train") & (things("dev") | things("test"))


def test_the_vocabulary_is_reproduced(tmp_path: Path) -> None:
    from pretrain import make_tokenizer

    made, kept = make_tokenizer(Random(0)), AutoTokenizer.from_pretrained(TINY)
    assert made.get_vocab() == kept.get_vocab()


def test_pretraining_shows_neither_the_tasks_fields_nor_its_answers() -> None:
    from world import pretraining_pair

    pairs = [pretraining_pair(Random(seed)) for seed in range(3000)]
    assert not any("sentence1" in source or "sentence2" in source for source, _ in pairs)
    assert not {target for _, target in pairs} & {"0", "1"}
