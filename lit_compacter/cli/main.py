"""`python main.py fit|validate|test|predict --config rte.yaml …`: from YAML to a run."""

import contextlib
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jsonargparse import Namespace, set_parsing_settings
from jsonargparse.typing import NonNegativeInt, PositiveInt
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lit_compacter.checkpoints import format as checkpoint
from lit_compacter.checkpoints.callbacks import BestCheckpoint, LastCheckpoint
from lit_compacter.cli import show  # sharding registers its strategy
from lit_compacter.cli.given import replaced_options
from lit_compacter.cli.logging import quiet
from lit_compacter.cli.parser import (
    CONFIGS,
    EXAMPLE,
    LINKS,
    ConfigFile,
    Parser,
    configs_of,
    defaults_from,
    find_defaults,
)
from lit_compacter.cli.progress import progress_bars, write_profile_to
from lit_compacter.cli.trainer_support import as_list, check_precision, check_support, check_trainer_options
from lit_compacter.cli.user_classes import take_classes, with_classes
from lit_compacter.errors import UserError, answered, did_you_mean, first_line, lack_of_resources
from lit_compacter.results import run_dir as run_folder
from lit_compacter.results.learning_curve import History
from lit_compacter.results.predictions import BatchIndices, PredictionFile
from lit_compacter.results.run_dir import RunFolder
from lit_compacter.results.summaries import DataSummary, Hyperparameters, RunConfig, TrainableSummary, finish
from lit_compacter.runtime.launch import StopTogether, check_launch, launched_by, terminate
from lit_compacter.runtime.process_state import unchanged_process
from lit_compacter.runtime.rank import is_first_process
from lit_compacter.runtime.signals import BEFORE_A_SUDDEN_END, stoppable

MAIN = CONFIGS.parent / "main.py"
VERBS = ("fit", "validate", "test", "predict")
HELP = {
    "show": "Print examples of a task as text pairs, and what of them a model does not see; nothing is trained.",
    "fit": "Train a model, and keep adapter checkpoints, metrics and the learning curve in a run folder.",
    "validate": "Score a checkpoint on the validation rows.",
    "test": "Score a checkpoint on the test rows.",
    "predict": "Write a checkpoint's answers to predictions.jsonl and in the form of the benchmark's leaderboard.",
}


class CLI(LightningCLI):
    """LightningCLI with a run folder, adapter checkpoints and a default method."""

    def __init__(self, words: list[str]) -> None:
        # A parser takes half a second to build, so where the verb stands first only its own is built.
        self.verbs = (verb,) if (verb := first_word(words)) in VERBS else VERBS
        defaults = str(find_defaults())
        self.classes, self.words = take_classes(words, configs_of(words))
        with contextlib.ExitStack() as self.until_the_end:
            super().__init__(
                self.classes["model"],
                self.classes["data"],
                parser_class=Parser,
                parser_kwargs={
                    verb: {"default_config_files": [defaults], "description": HELP[verb]} for verb in self.verbs
                },
                save_config_callback=None,
                load_from_checkpoint_support=False,
                auto_configure_optimizers=False,
            )

    # The options

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        # A checkpoint is never unpickled into more than plain values, so that is no option.
        # Nor are predictions kept in memory: they are in a file. And `finish` prints the metrics.
        ours = {"ckpt_path", "weights_only", "return_predictions", "verbose"}
        return {verb: LightningCLI.subcommands()[verb] | ours for verb in self.verbs}

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        ours = {"fit": {}, "predict": {"return_predictions": False}}.get(subcommand, {"verbose": False})
        return super()._prepare_subcommand_kwargs(subcommand) | ours | {"ckpt_path": self.ckpt_path}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        kwargs.setdefault("description", "Fine-tune T5 with Compacter, or with one of the methods it is compared to.")
        parser = self.parser_class(version=version("lit-compacter"), verbs=HELP, command_line=True, **kwargs)
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
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="Checkpoint to go on from (fit) or to evaluate: a .ckpt file, or best or last of --run_name. Where "
            "there is no last yet, fit begins.",
        )
        parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for section, kind in self.classes.items():  # before the 460 lines of the trainer
            parser.add_lightning_class_args(kind, section)
        parser.add_lightning_class_args(self.trainer_class, "trainer")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        known = parser.get_defaults()
        for source, target in LINKS:
            if target in known:  # a class of the user's own may have fixed it
                parser.link_arguments(source, target)
        parser.set_defaults({"model.method": {"class_path": "lit_compacter.methods.Compacter"}})

    # From options to a run

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        self.config = parser.parse_args(self.words)
        self.subcommand = self.config.subcommand
        assert isinstance(parser, Parser)
        if replaced := replaced_options(parser.of_verb[self.subcommand].configs):
            rank_zero_warn(f"later config files replace options of earlier ones: {'; '.join(replaced)}")
        self.ckpt_path = self._find_checkpoint()
        if self.subcommand == "fit":
            return
        if self.ckpt_path is None:
            raise UserError(f"{self.subcommand} needs --ckpt_path: a .ckpt file, or best or last with --run_name")
        # What it was trained with is the default; YAML and the command line win over it.
        block = checkpoint.read(self.ckpt_path)[checkpoint.BLOCK]
        method = self.options.model.method.class_path
        parser.of_verb[self.subcommand].set_defaults(defaults_from(block, self.options.data, method))
        self.config = parser.parse_args(self.words)
        # Not as a default: a run's own config.yaml, which says null, would win over it.
        if "trained_on" in self.options.data:
            self.options.data.trained_on = self.options.data.trained_on or block["task"]

    def _find_checkpoint(self) -> str | None:
        own = self.root / self.options.run_name if self.options.run_name else None
        return run_folder.find_checkpoint(self.options.ckpt_path, own, may_begin=self.subcommand == "fit")

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
        options, fits = self.options, self.subcommand == "fit"
        check_trainer_options(options.trainer, fits)
        chosen = self._get(self.config_init, "trainer")
        check_support(chosen)
        self.folder: RunFolder | None = None
        if not options.trainer.fast_dev_run:  # which leaves nothing behind
            folder = RunFolder(self.root, options.run_name, self.datamodule.task.name, trains=fits)
            self.folder = self.until_the_end.enter_context(folder)
            kwargs["default_root_dir"] = str(folder.path)
            if fits and options.ckpt_path == "last":
                self.ckpt_path = self._find_checkpoint()  # again: now no other run can write one
            elif fits:
                run_folder.refuse_checkpoints(folder.path, self.ckpt_path)
            if options.trainer.logger is None:
                kwargs["logger"] = folder.log_to(str(self.subcommand))
        self.trainer_defaults = {"callbacks": self._callbacks(self.folder)}
        kwargs["plugins"] = [*as_list(chosen.plugins), checkpoint.AdapterCheckpointIO()]
        if not fits:  # where those of the run's own config.yaml are idle
            kwargs["enable_checkpointing"] = any(isinstance(part, Checkpoint) for part in as_list(chosen.callbacks))
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (ValueError, TypeError, MisconfigurationException) as error:  # on an option that makes no sense here
            absent = re.search("gpu backend|accelerator is not available", str(error))
            hint = "; without one use --trainer.accelerator cpu" if absent else ""
            raise UserError(f"trainer: {first_line(error)}{hint}") from error
        check_precision(trainer)
        if self.folder:
            write_profile_to(self.folder.path, trainer.profiler)  # type: ignore[attr-defined]
        return trainer

    def _callbacks(self, folder: RunFolder | None) -> list[Callback]:
        fits = self.subcommand == "fit"
        given = self._get(self.config_init, "trainer")
        bars = progress_bars(given.enable_progress_bar, as_list(given.callbacks))
        callbacks = [*bars, StopTogether(), DataSummary(), BatchIndices()]
        if fits:
            callbacks += [TrainableSummary(), Hyperparameters()]
        if folder is None:
            return callbacks
        options = self.options.clone()
        options.update(Namespace(run_name=None, ckpt_path=None, debug=False))  # they are this start's, not the run's
        config = with_classes(self._parser(self.subcommand).dump(options, skip_unset=False), self.classes)
        callbacks.append(RunConfig(folder, config, str(self.subcommand)))
        if self.subcommand == "predict":
            callbacks.append(PredictionFile(folder.path))
        if fits:
            callbacks.append(History(folder.path))
        if fits and self.options.trainer.enable_checkpointing is not False:
            checkpoints = folder.path / run_folder.CHECKPOINTS
            callbacks += [
                BestCheckpoint(checkpoints, self.ckpt_path),
                LastCheckpoint(checkpoints, self.options.save_every),  # after `best`, whose state it holds
            ]
        return callbacks

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except UserError:
            raise
        except ValueError as error:  # jsonargparse's, on a class of the user's choice
            said = " ".join(str(error).split())
            told = re.search(r"(?:Problem with given class_path|(?<= - )(?!Expected |Not a valid )).*?(?= - |$)", said)
            raise UserError(f"trainer: {told[0] if told else first_line(error)}") from error

    def _run_subcommand(self, subcommand: str) -> None:
        data = self.datamodule.options
        with lack_of_resources(data.batch_size, data.max_source_length), checkpoint.restored(self.ckpt_path):
            check_launch(self.trainer)
            BEFORE_A_SUDDEN_END.append(lambda: terminate(launched_by(self.trainer)))
            super()._run_subcommand(subcommand)
            self.metrics = finish(self.trainer, self.folder, subcommand, self.ckpt_path)


def first_word(words: list[str]) -> str:
    """What the command line begins with, usually the verb."""
    return next(iter(words), "")


def main(args: list[str] | None = None) -> dict[str, float] | None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2.

    It can be called from Python too, more than once and in a thread, where signals do not stop it. It leaves the
    process as it was.

    Args:
        args: The words after `main.py`. Default: those of the process.

    Returns:
        The final metrics of fit, validate, test or predict, as in metrics.json; None for show.
    """
    words = sys.argv[1:] if args is None else args
    with unchanged_process(), stoppable(), quiet(), answered(is_first_process(), debug="--debug" in words):
        set_parsing_settings(docstring_parse_attribute_docstrings=True)
        sys.argv = [str(MAIN), *words]  # what Lightning starts further processes with
        sys.path.append(os.getcwd())  # where the user's own classes are
        verb, known = first_word(words), (*VERBS, "show")
        if verb and verb not in known and not verb.startswith("-"):
            raise UserError(f"{verb!r} is none of {', '.join(known)}{did_you_mean(verb, known)}; {EXAMPLE}")
        if verb == "show":
            show.main(words[1:])
            return None
        return CLI(words).metrics
