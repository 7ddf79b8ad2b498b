"""The method of a config file, and a checkpoint's options as defaults of the parser."""

from typing import Any

import yaml

from lit_compacter.checkpoints.format import Metadata
from lit_compacter.cli.configs import CONFIGS
from lit_compacter.errors import UserError
from lit_compacter.methods import METHODS, Method, make_method, plain_options
from lit_compacter.tasks import hub_repository
from lit_compacter.tasks.custom import OPTIONS as CUSTOM_OPTIONS


def load_method(name: str) -> Method:
    """The method of `configs/methods/<name>.yaml`, such as `compacter_pp`."""
    given = yaml.safe_load((CONFIGS / "methods" / f"{name}.yaml").read_text())["model"]["method"]
    return make_method(given["class_path"], given.get("init_args", {}))


def checkpoint_defaults(
    metadata: Metadata, task: str | None, method: str, model_name: str | None = None
) -> dict[str, Any]:
    """A checkpoint's backbone, method and inputs as defaults of the parser.

    Options that describe a custom task are left out if another task is evaluated, and so are commits of another model
    or data set than the checkpoint's.

    Args:
        metadata: The checkpoint's.
        task: The task that the user names, if any.
        method: Import path of the method that the user names. A checkpoint never decides which code is imported.
        model_name: The model that the user names, if any.

    Raises:
        UserError: The checkpoint's method is neither part of this package nor named by the user.
    """
    path = f"lit_compacter.methods.{metadata['method']}"
    if metadata["method"] not in METHODS:
        path = metadata["method"]
        if path != method:
            raise UserError(
                f"the checkpoint has method {path!r}; expected one of {', '.join(METHODS)}; your own method must be "
                f"named too: give the run's own config.yaml with --config, or --model.method {path}"
            )
    options = plain_options(metadata["options"])
    same_task = task in (metadata["task"], None)
    inputs = {
        f"data.{name}": value for name, value in metadata["inputs"].items() if same_task or name not in CUSTOM_OPTIONS
    }
    commits = {}
    if model_name in (metadata["model_name"], None):
        commits["model.revision"] = metadata["model_commit"]
    if same_task or hub_repository(task) == hub_repository(metadata["task"]):
        commits["data.revision"] = metadata["data_commit"]
    model = {"model.model_name": metadata["model_name"], "model.method": {"class_path": path, "init_args": options}}
    return model | inputs | commits
