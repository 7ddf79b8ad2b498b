"""Write the results of `predict`: predictions.jsonl, and the files for a leaderboard."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from pytorch_lightning import Callback, LightningModule, Trainer

from lit_compacter.datamodule import GlueDataModule
from lit_compacter.module import T5Module
from lit_compacter.results.leaderboard import write_leaderboard
from lit_compacter.results.run_dir import free_path, results_lock
from lit_compacter.runtime.rank import is_rank_zero
from lit_compacter.tasks.predictions import Prediction
from lit_compacter.utils.console import console
from lit_compacter.utils.jsonl import write_records
from lit_compacter.utils.run_files import PREDICTIONS


class BatchIndices(Callback):
    """Sets the `batch_indices` of a `BasePredictionWriter`, which Lightning sets only for torch's own sampler."""

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        trainer.predict_loop.current_batch_indices = batch["row"]
        trainer.predict_loop.epoch_batch_indices[dataloader_idx].append(batch["row"])


class PredictionWriter(Callback):
    """Writes predictions.jsonl: one record per row of the official test set or predict_file, in its order.

    Each rank writes its predictions to a file of its own as they come; rank 0 merges the files.

    Args:
        run_dir: The run directory, which all processes can read.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.metrics: dict[str, float] = {}
        self.parts: list[Path] = []  # one file per rank

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        run = trainer.strategy.broadcast(uuid4().hex)  # another run in the same directory uses other names
        self.parts = [self.run_dir / f".{PREDICTIONS}.{run}.{rank}.tmp" for rank in range(trainer.world_size)]
        self.file: TextIO = self.parts[trainer.global_rank].open("w", encoding="utf-8")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.file.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in outputs)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module)
        self.file.close()
        trainer.strategy.barrier()  # until all parts are complete
        if is_rank_zero():
            with results_lock(self.run_dir):  # so that the names of all files get the same number
                self._report(trainer.datamodule, self._merge(), pl_module.majority_target)  # type: ignore[attr-defined]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._remove_part(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        trainer.strategy.barrier()  # until rank 0 has read the parts
        self._remove_part(trainer)

    def _remove_part(self, trainer: Trainer) -> None:
        if self.parts:
            self.parts[trainer.global_rank].unlink(missing_ok=True)

    def _merge(self) -> Path:
        """Merge the records of all ranks in row order, without duplicates: the last batch may be repeated."""
        by_row = {record.pop("row"): record for part in self.parts for record in _read(part)}
        path = free_path(self.run_dir / PREDICTIONS)
        write_records(path, (by_row[row] for row in sorted(by_row)))
        return path

    def _report(self, data: GlueDataModule, path: Path, majority_target: str) -> None:
        """Compute the metrics and write the leaderboard's files."""
        records: list[Prediction] = list(_read(path))
        invalid = sum(record["prediction"] is None for record in records) / len(records)
        self.metrics = {"predict/rows": len(records), "predict/invalid": invalid}
        console.print(f"{len(records)} predictions in {path} ({100 * invalid:.1f} % are not an answer)", soft_wrap=True)
        if data.options.predict_file is not None:
            return
        for name in write_leaderboard(self.run_dir, data.task, records, majority_target):
            console.print(f"for the leaderboard: {name}", soft_wrap=True)
        if len(records) < len(data.data["predict"]):
            warnings.warn(
                "not every row was predicted (trainer.limit_predict_batches): the leaderboard will reject the file",
                stacklevel=2,
            )


def _read(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
