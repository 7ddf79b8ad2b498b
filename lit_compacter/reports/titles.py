"""How values are written in tables and figures."""

import re

from lit_compacter.methods.titles import TITLES as METHODS
from lit_compacter.reports.cells import Value, is_number
from lit_compacter.studies.study import METHOD, TASK

TASKS = {
    "ax": "AX",
    "axb": "AX-b",
    "axg": "AX-g",
    "boolq": "BoolQ",
    "cb": "CB",
    "cola": "CoLA",
    "copa": "COPA",
    "mnli": "MNLI",
    "mrpc": "MRPC",
    "multirc": "MultiRC",
    "qnli": "QNLI",
    "qqp": "QQP",
    "record": "ReCoRD",
    "rte": "RTE",
    "sst2": "SST-2",
    "stsb": "STS-B",
    "superglue-rte": "RTE (SuperGLUE)",
    "wic": "WiC",
    "wnli": "WNLI",
    "wsc": "WSC",
}


def title_of(axis: str, value: Value) -> str:
    """A value as it is written: `full` as Full fine-tuning, `sst2` as SST-2, 1000 of an option as it is."""
    known = {METHOD: METHODS, TASK: TASKS}.get(axis, {})
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return known.get(text, text)


def assignment(axis: str, value: Value) -> str:
    """`data.max_train_samples = 1,000`."""
    text = f"{value:,}" if isinstance(value, int) and is_number(value) else title_of(axis, value)
    return f"{axis} = {text}"


def file_name(text: str) -> str:
    """A text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-").lower()
