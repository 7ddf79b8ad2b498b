"""`python main.py fit|validate|test|predict --config rte.yaml …`: from YAML to a run."""

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from jsonargparse import Namespace, set_parsing_settings
from jsonargparse.typing import NonNegativeInt, PositiveInt
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lit_compacter import checkpoint, run_folder, sharding, show
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError, first_line, lack_of_resources
from lit_compacter.module import T5Module
from lit_compacter.parsing import CONFIGS, ConfigFile, Parser, defaults_from
from lit_compacter.predictions import PredictionFile
from lit_compacter.quiet import quieten
from lit_compacter.reports import DataSummary, RunConfig, TrainableSummary, finish
from lit_compacter.saving import BestCheckpoint, LastCheckpoint, Stopped

VERBS = ("fit", "validate", "test", "predict")


class CLI(LightningCLI):
    """LightningCLI with a run folder, adapter checkpoints and a default method."""

    fresh = False  # until this start has made the run folder
    run_config: RunConfig | None = None
    lock: FileLock | None = None

    def __init__(self, args: ArgsType = None) -> None:
        # A parser takes half a second to build, so where the verb stands first only its own is built.
        self.verbs = (verb,) if (verb := first_word(args)) in VERBS else VERBS
        try:
            super().__init__(
                T5Module,
                GlueDataModule,
                args=args,
                parser_class=Parser,
                parser_kwargs={verb: {"default_config_files": [str(CONFIGS / "defaults.yaml")]} for verb in self.verbs},
                save_config_callback=None,
                load_from_checkpoint_support=False,
                auto_configure_optimizers=False,
            )
        finally:
            if self.lock:
                self.lock.release()

    # The options

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        # A checkpoint is never unpickled into more than plain values, so that is no option.
        # Nor are predictions kept in memory: they are in a file.
        return {verb: LightningCLI.subcommands()[verb] | {"weights_only", "return_predictions"} for verb in self.verbs}

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kept = {"return_predictions": False} if subcommand == "predict" else {}
        return super()._prepare_subcommand_kwargs(subcommand) | kept

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        kwargs.setdefault("description", "Fine-tune T5 with Compacter. `main.py show` prints what a task looks like.")
        parser = self.parser_class(**kwargs)
        parser.add_argument(
            "-c",
            "--config",
            action=ConfigFile,
            help="Config file: a path, or a name in configs/. Of several the later wins, the command line over all.",
        )
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--seed_everything",
            type=NonNegativeInt,
            default=42,
            help="Seed of new parameters, dropout and training order.",
        )
        parser.add_argument(
            "--run_name",
            type=str | None,
            default=None,
            help="Folder of this run under trainer.default_root_dir. Default: a new one, time stamp and task.",
        )
        parser.add_argument(
            "--save_every",
            type=PositiveInt,
            default=200,
            help="Optimizer steps between writes of last.ckpt, besides those at each validation and epoch's end.",
        )
        parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("model.model_name", "data.model_name")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")
        parser.set_defaults({"model.method": {"class_path": "lit_compacter.methods.Compacter"}})

    # From options to a run

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        super().parse_arguments(parser, args)
        self.subcommand = self.config.subcommand
        self.goes_on = self.options.ckpt_path == "last"
        if self.options.ckpt_path is not None:
            own = self.root / self.options.run_name if self.options.run_name else None
            ckpt_path = run_folder.find_checkpoint(self.options.ckpt_path, own, may_begin=self.subcommand == "fit")
            if self.subcommand != "fit" and ckpt_path is not None:
                # What it was trained with is the default; YAML and the command line win over it.
                block = checkpoint.read(ckpt_path)[checkpoint.BLOCK]
                self._parser(self.subcommand).set_defaults(defaults_from(block, self.options.data.task))
                super().parse_arguments(parser, args)
                # Not as a default: a run's own config.yaml, which says null, would win over it.
                self.options.data.trained_on = self.options.data.trained_on or block["task"]
            self.options.ckpt_path = ckpt_path
        elif self.subcommand != "fit":
            raise UserError(f"{self.subcommand} needs --ckpt_path: a .ckpt file, or best or last with --run_name")

    @property
    def options(self) -> Namespace:
        """The verb's options, parsed."""
        return self.config[self.subcommand]

    @property
    def root(self) -> Path:
        """The folder of all runs."""
        return Path(self.options.trainer.default_root_dir or ".")

    def _parse_ckpt_path(self) -> None:
        """Do not let a checkpoint configure the run, as LightningCLI would."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        options = self.options
        if options.trainer.overfit_batches:
            raise UserError("trainer.overfit_batches replaces our samplers: use --trainer.limit_train_batches instead")
        for name in ("accumulate_grad_batches", "check_val_every_n_epoch", "val_check_interval"):
            if isinstance(value := options.trainer[name], int | float) and value <= 0:
                raise UserError(f"trainer.{name} is {value}; expected a number above 0")
        self.folder, fresh = run_folder.reserve(self.root, options.run_name, self.datamodule.task.name)
        if self.subcommand == "fit":
            self.lock = run_folder.lock(self.folder)
            if not self.goes_on:
                run_folder.refuse_checkpoints(self.folder, options.ckpt_path)
        self.fresh = fresh  # not before the lock is ours: else the folder is another run's, which has just made it
        self.trainer_defaults = {"callbacks": self._callbacks()}
        if options.trainer.logger is None:
            logs = self.folder / run_folder.LOGS / str(self.subcommand)
            kwargs["logger"] = [TensorBoardLogger(logs, name="tensorboard"), CSVLogger(logs, name="csv")]
        plugins = self._get(self.config_init, "trainer").plugins or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        kwargs["plugins"] = [*plugins, checkpoint.AdapterCheckpointIO()]
        if self.subcommand != "fit":
            kwargs["enable_checkpointing"] = False
        try:
            return super().instantiate_trainer(default_root_dir=str(self.folder), **kwargs)
        except (ValueError, TypeError, MisconfigurationException) as error:  # on an option that makes no sense here
            hint = "; without one use --trainer.accelerator cpu" if "gpu backend" in str(error) else ""
            raise UserError(f"trainer: {first_line(error)}{hint}") from error

    def _callbacks(self) -> list[Callback]:
        options = self.options.clone()
        options.update(Namespace(run_name=None, ckpt_path=None, debug=False))  # they are this start's, not the run's
        config = self._parser(self.subcommand).dump(options, skip_unset=False)
        self.run_config = RunConfig(self.folder, config)
        if self.subcommand != "fit":
            predictions = [PredictionFile(self.folder)] if self.subcommand == "predict" else []
            return [self.run_config, DataSummary(), *predictions]
        checkpoints = self.folder / run_folder.CHECKPOINTS
        return [
            self.run_config,
            DataSummary(),
            TrainableSummary(),
            BestCheckpoint(checkpoints, self.options.ckpt_path),
            LastCheckpoint(checkpoints, self.options.save_every),  # after `best`, whose state it holds
        ]

    def instantiate_classes(self) -> None:
        with self._no_folder_of_a_run_that_never_began():
            try:
                super().instantiate_classes()
            except UserError:
                raise
            except ValueError as error:  # jsonargparse's, on a class of the user's choice
                told = re.search(r"Problem with given class_path.*?(?= - Expected|$)", " ".join(str(error).split()))
                raise UserError(told[0] if told else first_line(error)) from error

    def _run_subcommand(self, subcommand: str) -> None:
        data = self.options.data
        with (
            lack_of_resources(data.batch_size, data.max_source_length),
            self._no_folder_of_a_run_that_never_began(),
        ):
            sharding.check_launch(self.trainer)
            super()._run_subcommand(subcommand)
            if self.trainer.is_global_zero:
                finish(self.trainer, self.folder, subcommand)

    @contextlib.contextmanager
    def _no_folder_of_a_run_that_never_began(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if self.run_config is None or not self.run_config.kept:
                ours = self.options.trainer.logger is None  # the user's may hold what other runs logged
                for logger in self.trainer.loggers if ours and hasattr(self, "trainer") else []:
                    shutil.rmtree(logger.log_dir or "", ignore_errors=True)
                if self.fresh:
                    shutil.rmtree(self.folder, ignore_errors=True)
            raise


def command_line(args: ArgsType) -> list[str]:
    """The words of the command line."""
    words = sys.argv[1:] if args is None else args
    return words if isinstance(words, list) else []


def first_word(args: ArgsType) -> str:
    """What the command line begins with, usually the verb."""
    return next(iter(command_line(args)), "")


def main(args: ArgsType = None) -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    quieten()
    try:
        if first_word(args) == "show":
            show.main(command_line(args)[1:])
        else:
            CLI(args)
    except Stopped as stopped:
        print(stopped.message, file=sys.stderr)
        raise
    except (UserError, MisconfigurationException, ModuleNotFoundError, PermissionError) as error:
        if "--debug" in command_line(args):
            raise
        told = f"no access to {error.filename}: give another path" if isinstance(error, PermissionError) else str(error)
        print(f"error: {' '.join(told.split())}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        if not re.search("Connection (closed|reset) by peer", str(error)) or "--debug" in command_line(args):
            raise
        print("error: another process of this run has ended; what it said last says why", file=sys.stderr)
        sys.exit(1)
