"""Work of one epoch and validation after another, with the command line, in this process."""

import argparse
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from benchmarks import ours
from benchmarks.workers.serve import serve, set_threads
from lit_compacter.cli.main import main as run_cli


class PartTimer(Callback):
    """Keeps the seconds of training and of validation of the last fit.

    The command line instantiates it from its import path, so that the times are found at the class.
    """

    seconds: Mapping[str, float] = {}

    def on_fit_start(self, *_: Any) -> None:
        self.started, self.evaluation = time.perf_counter(), 0.0

    def on_validation_start(self, *_: Any) -> None:
        self.validation_started = time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        self.evaluation += time.perf_counter() - self.validation_started

    def on_fit_end(self, *_: Any) -> None:
        both = time.perf_counter() - self.started
        type(self).seconds = {"train": both - self.evaluation, "evaluate": self.evaluation, "both": both}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=ours.MODES)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--data_dir", type=Path, required=True, help="holds RTE/train.tsv and dev.tsv")
    parser.add_argument("--model", type=Path, required=True, help="folder with a config and a tokenizer")
    args = parser.parse_args()
    set_threads()
    runs = args.data_dir / args.mode
    options = ["--config", "rte.yaml", "--config", "methods/compacter.yaml", "--config", "trainer/cpu.yaml"]
    options += ["--model.model_name", str(args.model), "--model.pretrained", "false", "--model.warmup_steps", "0"]
    options += ["--data.data_dir", str(args.data_dir), "--data.split", "official", "--data.cache_dir", str(runs)]
    options += ["--data.batch_size", str(args.batch_size), "--trainer.max_epochs", "1", "--run_name", "epoch"]
    options += ["--trainer.default_root_dir", str(runs), "--trainer.enable_progress_bar", "false"]
    options += ["--trainer.callbacks", '[{"class_path": "benchmarks.workers.epoch_ours.PartTimer"}]']

    def unit() -> Mapping[str, float]:
        from benchmarks.workers.epoch_ours import PartTimer as UsedTimer  # this file is run as __main__

        run_cli(["fit", *options, *ours.cli_options(args.mode)])
        shutil.rmtree(runs / "epoch")
        return UsedTimer.seconds

    serve(unit)


if __name__ == "__main__":
    main()
