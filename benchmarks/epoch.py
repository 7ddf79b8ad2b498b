"""Time and memory of one epoch of RTE and its validation, with random weights: what a user would run, against peers.

`python -m benchmarks.epoch --data_dir GLUE --tokenizer T5_DIR --out DIR` runs our command line, and Hugging Face's
Seq2SeqTrainer with peers' models, on the same rows in interleaved rounds. The time to start a run is not part of it.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.compare import Contestant, add_arguments, add_choice
from benchmarks.ours import MODES
from benchmarks.sizes import SIZES
from benchmarks.workers.data import add_data_arguments, write_model, write_rows

FLOOR, ADAPTERHUB = "floor", "AdapterHub fp32"  # what the others are compared with


def contestants(args: argparse.Namespace, model: Path, data_dir: Path) -> list[Contestant]:
    """Everyone who can take part."""
    mine, peers = "benchmarks.workers.epoch_ours", "benchmarks.workers.epoch_peers"
    common = [f"--batch_size={args.batch_size}", f"--model={model}", f"--data_dir={data_dir}"]
    theirs = [f"--size={args.size}", *common]
    return [
        Contestant(FLOOR, peers, ["floor", *theirs], package="accelerate"),
        *(Contestant(f"ours {mode}", mine, [mode, *common], is_ours=True) for mode in MODES),
        Contestant(ADAPTERHUB, peers, ["adapterhub", *theirs], peer="adapters"),
        Contestant("AdapterHub bf16", peers, ["adapterhub", "--bf16", *theirs], peer="adapters"),
        Contestant("PEFT LoRA", peers, ["lora", *theirs], package="peft"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, rounds=3)
    add_choice(parser)
    add_data_arguments(parser)
    parser.add_argument("--size", choices=SIZES, default="base", help="of the T5")
    parser.add_argument("--train_rows", type=int, default=128, help="first rows of train.tsv")
    parser.add_argument("--eval_rows", type=int, default=64, help="first rows of dev.tsv")
    args = parser.parse_args()
    setting = {name: getattr(args, name) for name in ("size", "batch_size", "train_rows", "eval_rows")}
    with tempfile.TemporaryDirectory() as temporary:
        model = write_model(Path(temporary) / "model", args.size, args.tokenizer)
        data_dir = write_rows(
            Path(temporary) / "data", args.data_dir, {"train": args.train_rows, "dev": args.eval_rows}
        )
        report.run("epoch", contestants(args, model, data_dir), setting, [FLOOR, ADAPTERHUB], args)


if __name__ == "__main__":
    main()
