"""What `predict` writes: predictions.jsonl, and the file that a leaderboard takes."""

import contextlib
import json
import warnings
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from lit_compacter.datamodule import GlueDataModule
from lit_compacter.module import T5Module
from lit_compacter.results import run_dir as run_folder
from lit_compacter.results.leaderboard import Record, write_leaderboard
from lit_compacter.utils.atomic import written_whole
from lit_compacter.utils.console import console


class BatchIndices(Callback):
    """Gives a `BasePredictionWriter` its `batch_indices`, which Lightning reads off torch's own batch sampler only."""

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        trainer.predict_loop.current_batch_indices = batch["row"]
        trainer.predict_loop.epoch_batch_indices[dataloader_idx].append(batch["row"])


class PredictionFile(Callback):
    """predictions.jsonl: one record per row of the official test set or predict_file, in its order.

    Each process writes what it predicts to a file of its own as it comes, and keeps in memory where each row lies; the
    first process puts them together.

    Args:
        folder: Of the run, which all processes can read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part: Path | None = None
        self.metrics: dict[str, float] = {}
        self.places: dict[int, int] = {}  # row → where its line begins in this process's file

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Another process, and another prediction in the same folder, has a file of its own.
        self.part = self.folder / f".{run_folder.PREDICTIONS}.{uuid4().hex}.tmp"
        self.file: BinaryIO = self.part.open("wb")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for record in outputs:
            written = {name: value for name, value in record.items() if name != "row"}
            self.places[record["row"]] = self.file.tell()
            self.file.write(json.dumps(written, ensure_ascii=False).encode() + b"\n")

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module) and self.part is not None
        self.file.close()
        parts = [(self.part, self.places)]
        if torch.distributed.is_initialized():
            parts *= trainer.world_size
            torch.distributed.all_gather_object(parts, (self.part, self.places))
        if trainer.is_global_zero:
            with run_folder.results_lock(self.folder):  # so that one number stands in the names of all files
                self._report(trainer.datamodule, self._merge(parts), pl_module.majority)  # type: ignore[attr-defined]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._remove_part()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        trainer.strategy.barrier()  # the first process has read them
        self._remove_part()

    def _remove_part(self) -> None:
        if self.part:
            self.part.unlink(missing_ok=True)

    def _merge(self, parts: list[tuple[Path, dict[int, int]]]) -> Path:
        """The lines of all processes in the order of their rows, each once: a row may come more than once."""
        path = run_folder.free_path(self.folder / run_folder.PREDICTIONS)
        with contextlib.ExitStack() as opened, written_whole(path) as temporary, temporary.open("wb") as merged:
            files = [opened.enter_context(part.open("rb")) for part, _ in parts]
            places = {
                row: (file, place) for file, (_, rows) in zip(files, parts, strict=True) for row, place in rows.items()
            }
            for _, (file, place) in sorted(places.items(), key=itemgetter(0)):
                file.seek(place)
                merged.write(file.readline())
        return path

    def _report(self, data: GlueDataModule, path: Path, majority: str) -> None:
        """Metrics, and the leaderboard's files."""
        invalid = [record["prediction"] is None for record in read(path)]
        share = sum(invalid) / len(invalid)
        self.metrics = {"predict/rows": len(invalid), "predict/invalid": share}
        console.print(f"{len(invalid)} predictions in {path} ({100 * share:.1f} % are no answer)", soft_wrap=True)
        if data.options.predict_file is not None:
            return
        for name in write_leaderboard(self.folder, data.task, lambda: read(path), majority):
            console.print(f"for the leaderboard: {name}", soft_wrap=True)
        if len(invalid) < len(data.data["predict"]):
            warnings.warn(
                "not every row was predicted (trainer.limit_predict_batches): a leaderboard refuses such a file",
                stacklevel=2,
            )


def read(path: Path) -> Iterator[Record]:
    """The records of predictions.jsonl, one at a time."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
