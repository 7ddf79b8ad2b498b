"""`python main.py download --config rte.yaml`: fill the cache for machines without a network."""

from collections.abc import Sequence

from lit_compacter.backbones.files import model_folder
from lit_compacter.cli.data_verbs import make_data_module
from lit_compacter.utils.console import console


def main(args: Sequence[str]) -> None:
    """Download the model, its tokenizer and the data set of a run, at their revisions, and print where they are."""
    data = make_data_module("download", args)
    model_name, revision = data.options.model_name, data.options.model_revision
    folders = {f"model {model_name}": model_folder(model_name, revision, weights=True), "data set": data.download()}
    for name, folder in folders.items():
        console.print(f"{name}: {folder or 'files of your own'}", markup=False, soft_wrap=True)
    console.print("to use them without asking the hub, set HF_HUB_OFFLINE=1")
