"""`python main.py export --run_name rte --output DIR`: a run's adapter for other programs."""

from collections.abc import Sequence
from pathlib import Path

from lit_compacter.adapters.export import Format, export_checkpoint, push_to_hub
from lit_compacter.checkpoints.paths import find_checkpoint
from lit_compacter.cli.configs import DEFAULTS
from lit_compacter.cli.parser import Parser
from lit_compacter.cli.request import Request
from lit_compacter.cli.verbs import VERBS
from lit_compacter.errors import UserError
from lit_compacter.runtime.command import command_name
from lit_compacter.utils.console import console


def main(args: Sequence[str]) -> None:
    """Parse the options of `export`, write the adapter, and upload it if asked to."""
    request = Request.read(args)
    options = make_parser(request).parse_args(request.args)
    if options.output is None:
        raise UserError("export needs --output, a new folder")
    if options.push_to_hub and options.format != "lit-compacter":
        raise UserError(f"--push_to_hub uploads this program's format, not {options.format}; give one of the options")
    root = options.trainer.get("default_root_dir")
    checkpoint = find_checkpoint(options.ckpt_path, root, options.run_name)
    assert checkpoint is not None  # ckpt_path has a default
    output = Path(options.output)
    export_checkpoint(checkpoint, output, options.push_to_hub, options.format)
    console.print(f"adapter: {output}", markup=False, soft_wrap=True)
    if options.push_to_hub:
        address = push_to_hub(output, options.push_to_hub, options.private)
        console.print(f"uploaded to {address}", markup=False, soft_wrap=True)


def make_parser(request: Request) -> Parser:
    """A parser for the options of `export`. It also takes the YAMLs of a run."""
    parser = Parser(
        request=request,
        prog=f"{command_name()} export",
        description=VERBS["export"],
        default_config_files=[str(DEFAULTS)],
    )
    parser.add_argument("--run_name", type=str | None, help="The run, a folder under trainer.default_root_dir.")
    parser.add_argument("--ckpt_path", type=str, default="best", help="best or last of --run_name, or a .ckpt file.")
    parser.add_argument("--output", type=str | None, help="Folder to write the adapter to: new, or empty.")
    parser.add_argument("--format", type=Format, default="lit-compacter", help="The library that is to load it.")
    parser.add_argument("--push_to_hub", type=str | None, metavar="ORG/NAME", help="Also upload it to this repository.")
    parser.add_argument("--private", action="store_true", help="Make a new repository private.")
    for section in ("trainer", "data", "model"):
        parser.add_argument(
            f"--{section}", type=dict, default={}, help="Of a run. Only trainer.default_root_dir is used."
        )
    for name, kind in {"seed_everything": int, "save_every_n_steps": int, "debug": bool}.items():
        parser.add_argument(f"--{name}", type=kind | None, help="Of a run. Not used.")
    return parser
