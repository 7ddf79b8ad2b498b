"""Columns of tokenized rows, read without a Python object for each value."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import datasets


def numbers(data: "datasets.Dataset", column: str) -> npt.NDArray[np.int64]:
    """A column of numbers."""
    values: npt.NDArray[np.int64] = data.data.column(column).to_numpy()
    return values


def most_common_target(data: "datasets.Dataset") -> str:
    """The most common first target of rows that all have one; of equally common ones, the first."""
    import pyarrow.compute

    counted = pyarrow.compute.list_element(data.data.column("targets"), 0).value_counts()
    values, counts = counted.flatten()
    target: str = values[int(np.argmax(counts))].as_py()
    return target


def digest(data: "datasets.Dataset", *columns: str) -> str:
    """SHA-256 of columns that hold lists of numbers: of every number and the end of each row."""
    key = hashlib.sha256()
    for name in columns:
        chunks = data.data.column(name).chunks
        for part in (*(chunk.value_lengths() for chunk in chunks), *(chunk.flatten() for chunk in chunks)):
            key.update(part.to_numpy())
    return key.hexdigest()
