"""The rows of a task: from its official splits to train, validation, test and predict."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_compacter.data.files import find_file
from lit_compacter.data.options import DataOptions
from lit_compacter.data.rows import Rows, load_rows, make_pairs
from lit_compacter.data.sources import HubConfiguration, Source, from_file, from_files, from_hub
from lit_compacter.errors import RunWarning, UserError
from lit_compacter.tasks.splits import SplitName, holdout_from_train, shuffled
from lit_compacter.tasks.task import Task


@dataclass
class TaskRows:
    """Rows of a task, as the options ask for.

    Attributes:
        task: The task.
        options: The options of the data module.
        commit: Of the data set, once its rows are loaded from the hub.
    """

    task: Task
    options: DataOptions
    commit: str | None = None

    def __post_init__(self) -> None:
        self._loaded: dict[str, Rows] = {}  # official split → its rows; two splits may come from one

    @property
    def hub(self) -> HubConfiguration | None:
        """Where the rows are on the hub; None if they come from files."""
        return self.task.hub if self.options.data_dir is None else None

    def split(self, name: SplitName) -> Rows:
        """The rows of train, validation or test.

        Raises:
            UserError: There are none, one is not valid, or they have no labels.
        """
        options, task = self.options, self.task
        make_split = task.split if options.split == "paper" else task.official_split
        rows = make_split(name, self._load, options.data_seed)
        if not len(rows):
            raise UserError(f"task {task.name} has too few rows: none are left for {name}")
        if rows.num_unlabeled:
            raise UserError(
                f"rows of {task.name} for {name} have no labels; a benchmark's test set is for predict, "
                "which writes the file that the leaderboard scores"
            )
        if name == "train" and options.max_train_samples is not None:
            if options.max_train_samples > len(rows):
                told = f"data.max_train_samples is more than the {len(rows)} training rows there are"
                warnings.warn(RunWarning(told), stacklevel=2)
            rows = rows[shuffled(len(rows), options.data_seed)[: options.max_train_samples]]
        return rows

    def to_predict(self) -> dict[str, Rows]:
        """Official split, or the user's file → its rows."""
        if self.options.predict_file is not None:
            path = find_file(self.options.predict_file)
            return {path.name: self._load_source(from_file(self.task, path))}
        return {name: self._load(name) for name in self.task.leaderboard or ("test",)}

    def check_streaming(self) -> None:
        """Raise UserError if the training rows cannot be read as a stream, or there are none."""
        if self.options.split == "paper" and self.task.split is holdout_from_train:
            raise UserError(
                f"data.streaming: validation rows of {self.task.name} are drawn from all of its training rows, which a "
                "stream does not know; give --data.split official"
            )
        if self.options.max_train_samples is not None:
            raise UserError(
                "data.max_train_samples draws from all rows, which a stream does not know; remove it or data.streaming"
            )
        self._source("train")  # a missing file is reported now, not after the model is loaded

    def stream(self) -> Iterator[dict[str, Any]]:
        """Read the training rows from the first one on, as pairs of texts."""
        return make_pairs(self._source("train").rows, self.task, self.options.add_task_name)

    def _source(self, official_split: str) -> Source:
        if hub := self.hub:
            self.commit = hub.find(self.options.revision).commit
            return from_hub(self.task, hub, official_split, hub.download(self.options.revision))
        folder = Path(self.options.data_dir or "") if self.task.hub else Path()  # custom files have their own paths
        return from_files(self.task, official_split, folder)

    def _load(self, official_split: str) -> Rows:
        if official_split not in self._loaded:
            self._loaded[official_split] = self._load_source(self._source(official_split))
        return self._loaded[official_split]

    def _load_source(self, source: Source) -> Rows:
        return load_rows(source, self.task, self.options.add_task_name, self.options.cache_dir)
