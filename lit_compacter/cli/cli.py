"""LightningCLI for one verb: its options, and the data module and module built from them."""

import contextlib
import re
from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI

from lit_compacter import sharded_strategy  # noqa: F401  # registers the strategy, and lets options name its class
from lit_compacter.checkpoints.format import Metadata
from lit_compacter.checkpoints.paths import find_checkpoint, runs_dir
from lit_compacter.cli.configs import DEFAULTS
from lit_compacter.cli.defaults import checkpoint_defaults
from lit_compacter.cli.loggers import fill_placeholders
from lit_compacter.cli.parser import LINKS, Parser
from lit_compacter.cli.request import Request, class_path
from lit_compacter.cli.user_classes import with_classes
from lit_compacter.cli.verbs import VERBS
from lit_compacter.data.options import Seed
from lit_compacter.errors import UserError, first_line
from lit_compacter.results.run_dir import RunDir
from lit_compacter.runtime.command import command_name


class CLI(LightningCLI):
    """LightningCLI for one verb. The constructor only parses the options and creates the data module and the module.

    Args:
        verb: fit, validate, test or predict.
        request: The user's request.
        metadata: Metadata of the checkpoint to evaluate. Its method, backbone and inputs become the defaults.
    """

    def __init__(self, verb: str, request: Request, metadata: Metadata | None = None) -> None:
        self.verb, self.request, self.metadata = verb, request, metadata
        super().__init__(
            request.classes["model"],
            request.classes["data"],
            parser_class=Parser,
            parser_kwargs={
                "request": request,
                "prog": f"{command_name()} {verb}",
                "description": VERBS[verb],
                "default_config_files": [str(DEFAULTS)],
            },
            save_config_callback=None,
            load_from_checkpoint_support=False,
            auto_configure_optimizers=False,
            run=False,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        return self.parser_class(**kwargs)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--seed_everything",
            type=Seed,
            default=42,
            help="Seed of new parameters, dropout and training order.",
        )
        parser.add_argument(
            "--run_name",
            type=str | None,
            default=None,
            help="Folder of this run under trainer.default_root_dir. Default: a new folder, named after time and task.",
        )
        parser.add_argument(
            "--save_every_n_steps",
            type=PositiveInt,
            default=200,
            help="Optimizer steps between writes of last.ckpt. It is also written after each validation and epoch.",
        )
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="Checkpoint to resume from (fit) or to evaluate: a .ckpt file, or best or last with --run_name. If "
            "last.ckpt does not exist yet, fit starts a new run.",
        )
        parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for section, kind in self.request.classes.items():  # before the 460 lines of the trainer
            parser.add_lightning_class_args(kind, section)
        parser.add_lightning_class_args(self.trainer_class, "trainer")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        defaults = parser.get_defaults()
        for source, target in LINKS:
            if source in defaults and target in defaults:  # a class of the user's own may have fixed one
                parser.link_arguments(source, target)
        parser.set_defaults({"model.method": {"class_path": "lit_compacter.methods.Compacter"}})
        if self.metadata:
            task, method, model_name = map(self.request.get, ("data.task", "model.method", "model.model_name"))
            values = checkpoint_defaults(self.metadata, task, class_path(method), model_name)
            # The user's own classes may have other options.
            parser.set_defaults({name: value for name, value in values.items() if name in defaults})

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        self.config = parser.parse_args(self.request.args)
        for name, default in parser.get_defaults().items():  # jsonargparse accepts null for all of them in YAML
            is_option = name.startswith(("data.", "model.")) and name.count(".") == 1
            if is_option and default is not None and self.config.get(name) is None:
                raise UserError(f"{name} is null; expected a value, such as {default}")
        # Not set as a default, because the null in a run's own config.yaml would replace it.
        if self.metadata and "trained_on" in self.config.data:
            self.config.data.trained_on = self.config.data.trained_on or self.metadata["task"]

    def instantiate_classes(self) -> None:
        """As in LightningCLI, but without the trainer and its loggers, which are built once the run's name is known."""
        config = self.config.clone()
        config.trainer.logger = None
        self.config_init = self._instantiate(config)
        self.datamodule, self.model = self.config_init.data, self.config_init.model

    def make_loggers(self, run_dir: RunDir) -> Any:
        """The value of `trainer.logger`, with the run's name and folder in place of {run_name} and {run_dir}."""
        places = {"{run_name}": run_dir.path.name, "{run_dir}": str(run_dir.path)}
        given = Namespace(trainer=Namespace(logger=fill_placeholders(self.config.trainer.logger, places)))
        return self._instantiate(given, instantiate_groups=False).trainer.logger

    def _instantiate(self, config: Namespace, **options: Any) -> Namespace:
        try:
            return self.parser.instantiate(config, **options)
        except UserError:
            raise
        except ValueError as error:  # jsonargparse raises it for a class that the user chose
            text = " ".join(str(error).split())
            found = re.search(r"(?:Problem with given class_path|(?<= - )(?!Expected |Not a valid )).*?(?= - |$)", text)
            raise UserError(found[0] if found else first_line(error)) from error

    def open_run_dir(self) -> contextlib.AbstractContextManager[RunDir | None]:
        """The run directory, locked if the run trains; None for a dry run, which keeps nothing."""
        options = self.config.trainer
        if options.fast_dev_run:
            return contextlib.nullcontext()
        root, task = runs_dir(options.default_root_dir), self.datamodule.task.name
        return RunDir(root, self.config.run_name, task, trains=self.verb == "fit")

    def find_checkpoint(self) -> str | None:
        """The checkpoint that a fit resumes from; None if it starts a new run."""
        root = self.config.trainer.default_root_dir
        return find_checkpoint(self.config.ckpt_path, root, self.config.run_name, may_start_new=True)

    def resolved_config(self) -> str:
        """The options as YAML, with the loaded commits and without options that apply only to this start."""
        config = self.config.clone()
        config.update(Namespace(run_name=None, ckpt_path=None, debug=False))
        for section, commit in (("model", self.model.commit), ("data", self.datamodule.commit)):
            if commit is not None and "revision" in config[section]:  # a custom class may not have it
                config[section].revision = commit
        return with_classes(self.parser.dump(config, skip_unset=False), self.request.classes)


class ParsingCLI(CLI):
    """Only parses the options. It makes no data module and no module, which would load a tokenizer."""

    def instantiate_classes(self) -> None:
        pass
