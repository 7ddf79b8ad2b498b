"""Rows from official files and from a hub repository are the same; what is wrong is named with file and line."""

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from lit_compacter.errors import UserError
from lit_compacter.sources import Files, from_files, from_hub
from lit_compacter.tasks import TASKS
from tests.conftest import shared

RTE = TASKS["rte"]
HEADER = "index\tsentence1\tsentence2\tlabel\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def rows(task_name: str, data_dir: Path, split: str) -> list[dict[str, object]]:
    task = TASKS[task_name]
    return from_files(task.files, split, task.labels, data_dir).to_list()


def test_tsv_hard_cases(tmp_path: Path) -> None:
    text = HEADER + '0\tA "bare quote\tÜber 🙂\tentailment\n1\t\tb\tnot_entailment\n'
    write(tmp_path / "RTE/train.tsv", text, "utf-8-sig")
    assert rows("rte", tmp_path, "train") == [
        {"sentence1": 'A "bare quote', "sentence2": "Über 🙂", "label": 0, "idx": 0},
        {"sentence1": "", "sentence2": "b", "label": 1, "idx": 1},
    ]


def test_unlabelled_test_split(tmp_path: Path) -> None:
    write(tmp_path / "RTE/test.tsv", "index\tsentence1\tsentence2\n7\ta\tb\n")
    assert rows("rte", tmp_path, "test") == [{"sentence1": "a", "sentence2": "b", "label": -1, "idx": 7}]


def test_cola_has_no_header_but_in_test(tmp_path: Path) -> None:
    write(tmp_path / "CoLA/train.tsv", "gj04\t0\t*\tHim left.\n")
    write(tmp_path / "CoLA/test.tsv", "index\tsentence\n0\tHe left.\n")
    assert rows("cola", tmp_path, "train") == [{"sentence": "Him left.", "label": 0, "idx": 0}]
    assert rows("cola", tmp_path, "test") == [{"sentence": "He left.", "label": -1, "idx": 0}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "0\ta\tb\n", r"train.tsv:2: expected 4 columns, found 3"),
        (HEADER + "0\ta\tb\tmaybe\n", r"train.tsv:2: unknown label 'maybe'; expected one of entailment, not_ent"),
        ("index\tsentence1\tlabel\n0\ta\tentailment\n", r"train.tsv:1: no column 'sentence2'; the header has 'index'"),
        (HEADER, r"train.tsv holds no rows"),
        (HEADER + f"0\ta\t{'b' * 140_000}\tentailment\n", r"train.tsv:2: field larger than field limit"),
        ("", r"train.tsv:1: no column 'index'|train.tsv:1: no column 'sentence1'"),
        (HEADER + "x\ta\tb\tentailment\n", r"train.tsv:2: index 'x' is not a number"),
    ],
)
def test_bad_tsv(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "RTE/train.tsv", text)
    with pytest.raises(UserError, match=message):
        rows("rte", tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"premise": "a"\n', r"train.jsonl:1: not a line of JSON"),
        (
            '{"premise": "a", "idx": 0, "label": "entailment"}\n',
            r"train.jsonl:1: no field 'hypothesis'; expected premise",
        ),
        ('{"premise": "a", "hypothesis": "b", "idx": 0}\n', r"train.jsonl:1: no field 'label'"),
        ('{"premise": "a", "hypothesis": "b", "idx": 0, "label": "no"}\n', r"train.jsonl:1: unknown label 'no'"),
        ("[]\n", r"train.jsonl:1: no field 'premise'"),
        ('{"premise": null, "hypothesis": "b", "idx": 0, "label": "no"}\n', r":1: premise is null; expected a text"),
        ('\n{"premise": "a", "hypothesis": "b", "idx": "x", "label": "no"}\n', r":2: idx is \"x\"; expected a whole"),
    ],
)
def test_bad_jsonl(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "RTE/train.jsonl", text)
    with pytest.raises(UserError, match=message):
        rows("superglue-rte", tmp_path, "train")


@pytest.mark.parametrize(
    ("task", "fields", "label", "index"),
    [
        ("boolq", ("question", "passage"), "true", 1),
        ("copa", ("premise", "question", "choice1", "choice2"), "1", 1),
        ("wic", ("sentence1", "sentence2", "word"), "false", 0),
        ("cb", ("premise", "hypothesis"), '"neutral"', 2),
    ],
)
def test_json_labels_of_every_kind(task: str, fields: tuple[str, ...], label: str, index: int, tmp_path: Path) -> None:
    texts = ", ".join(f'"{name}": "{name} 🙂\\tx"' for name in fields)
    write(TASKS[task].files.path(tmp_path, "train"), f'{{{texts}, "idx": 3, "label": {label}}}\n')
    (row,) = rows(task, tmp_path, "train")
    assert row == {name: f"{name} 🙂\tx" for name in fields} | {"idx": 3, "label": index}


def test_not_utf8(tmp_path: Path) -> None:
    write(tmp_path / "RTE/train.tsv", HEADER + "0\tcafé\tb\tentailment\n", "latin-1")
    with pytest.raises(UserError, match=r"train.tsv is not UTF-8 text"):
        rows("rte", tmp_path, "train")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*RTE/train.tsv; --data.data_dir must be the folder that holds"):
        rows("rte", tmp_path, "train")


def test_hub_repository_gives_the_same_rows(tmp_path: Path) -> None:
    """A folder in the layout of the hub's repository stands in for the hub."""
    columns = {"sentence1": ["a", "c"], "sentence2": ["b", "d"], "label": [0, 1], "idx": [0, 1]}
    features = Features(
        sentence1=Value("string"),
        sentence2=Value("string"),
        label=ClassLabel(names=list(RTE.labels)),
        idx=Value("int32"),
    )
    (tmp_path / "hub/rte").mkdir(parents=True)
    Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "hub/rte/train-0.parquet")
    write(
        tmp_path / "hub/README.md",
        "---\nconfigs:\n- config_name: rte\n  data_files:\n  - split: train\n    path: rte/train-*\n---\n",
    )
    write(tmp_path / "files/RTE/train.tsv", HEADER + "0\ta\tb\tentailment\n1\tc\td\tnot_entailment\n")
    from_the_hub = from_hub(str(tmp_path / "hub"), "rte", "train")
    assert from_the_hub.to_list() == rows("rte", tmp_path / "files", "train")


def test_hub_out_of_reach() -> None:
    with pytest.raises(UserError, match=r"cannot load nyu-mll/glue \(rte\) from the hub.*--data.data_dir"):
        from_hub("nyu-mll/glue", "rte", "train")


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        ("rte", (2490, 277, 3000)),
        ("mrpc", (3668, 408, 1725)),
        ("cola", (8551, 1043, 1063)),
        ("superglue-rte", (2490, 277, 3000)),
        ("cb", (250, 56, 250)),
        ("copa", (400, 100, 500)),
        ("boolq", (32, 3270, 3245)),
    ],
)
def test_official_counts(task: str, counts: tuple[int, int, int]) -> None:
    data_dir = shared("data", "superglue" if task in ("superglue-rte", "cb", "copa", "boolq") else "glue")
    found = [rows(task, data_dir, split) for split in ("train", "validation", "test")]
    assert tuple(map(len, found)) == counts
    assert {row["label"] for row in found[0]} == set(range(len(TASKS[task].labels)))
    assert {row["label"] for row in found[2]} == {-1}


def test_layouts_satisfy_the_protocol() -> None:
    layouts: list[Files] = [task.files for task in TASKS.values()]
    assert all(layout.path(Path("d"), "validation").parts[0] == "d" for layout in layouts)


@pytest.mark.parametrize(
    ("task", "header", "values", "row"),
    [
        ("sst2", "sentence\tlabel", "fine\t1", {"sentence": "fine", "label": 1, "idx": 0}),
        (
            "qqp",
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
            "9\t1\t2\tWho?\tWhom?\t0",
            {"question1": "Who?", "question2": "Whom?", "label": 0, "idx": 0},
        ),
        (
            "qnli",
            "index\tquestion\tsentence\tlabel",
            "9\tWho?\tShe.\tnot_entailment",
            {"question": "Who?", "sentence": "She.", "label": 1, "idx": 9},
        ),
        (
            "wnli",
            "index\tsentence1\tsentence2\tlabel",
            "9\ta\tb\t1",
            {"sentence1": "a", "sentence2": "b", "label": 1, "idx": 9},
        ),
    ],
)
def test_official_columns(task: str, header: str, values: str, row: dict[str, object], tmp_path: Path) -> None:
    """Headers as the benchmark's archives have them."""
    write(TASKS[task].files.path(tmp_path, "train"), f"{header}\n{values}\n")
    assert rows(task, tmp_path, "train") == [row]
