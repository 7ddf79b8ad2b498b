"""The options of show and download, which need the data but neither the model's weights nor a trainer."""

from collections.abc import Sequence
from typing import Any

from jsonargparse import Namespace

from lit_compacter.backbones.options import BACKBONE
from lit_compacter.cli.configs import DEFAULTS
from lit_compacter.cli.parser import Parser
from lit_compacter.cli.request import Request
from lit_compacter.cli.verbs import VERBS
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.runtime.command import command_name

# Other options in the YAML of a run.
IGNORED_OPTIONS: dict[str, Any] = {"trainer": dict, **dict.fromkeys(("seed_everything", "save_every_n_steps"), int)}
IGNORED_OPTIONS |= {"run_name": str, "ckpt_path": str, "debug": bool}


def make_data_module(verb: str, args: Sequence[str]) -> GlueDataModule:
    """Parse the options of a run, and make its data module.

    Args:
        verb: show or download.
        args: The arguments after the verb.
    """
    request = Request.read(args)
    parser = make_parser(verb, request)
    config: Namespace = parser.instantiate_classes(parser.parse_args(request.args))
    data: GlueDataModule = config.data
    return data


def make_parser(verb: str, request: Request) -> Parser:
    """A parser that accepts the YAML files of a run but needs only `data` and the model's name and revision."""
    parser = Parser(
        request=request,
        prog=f"{command_name()} {verb}",
        description=VERBS[verb],
        default_config_files=[str(DEFAULTS)],
    )
    parser.add_argument("--model", type=dict, default={}, help="Only model_name and revision are needed.")
    for name, kind in IGNORED_OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind | None, help="An option of a run; not needed here.")
    parser.add_lightning_class_args(request.classes["data"], "data")
    source = {
        "model_name": request.get("model.model_name") or BACKBONE,
        "model_revision": request.get("model.revision"),
    }
    for option, value in source.items():
        if f"data.{option}" in parser.get_defaults():  # the user's own data module may not have it
            parser.link_arguments("model", f"data.{option}", compute_fn=lambda _, value=value: value)
    return parser
