"""Time to evaluate RTE's validation rows: Compacter, the bare T5, and Hugging Face's generate in file order.

`python -m benchmarks.evaluate --data_dir GLUE --tokenizer T5_DIR --out DIR` generates and decodes answers with random
weights, as validate does, in interleaved rounds.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.compare import Contestant, add_arguments, add_choice
from benchmarks.ours import MODES
from benchmarks.sizes import SIZES
from benchmarks.workers.data import add_data_arguments, write_model, write_rows

BARE, HUGGING_FACE = "bare T5", "Hugging Face, file order"


def contestants(args: argparse.Namespace, model: Path, data_dir: Path) -> list[Contestant]:
    """Ours in each mode, and what they are compared with."""
    module, common = "benchmarks.workers.evaluate", [f"--size={args.size}", f"--batch_size={args.batch_size}"]
    common += [f"--model={model}", f"--data_dir={data_dir}"]
    return [
        Contestant(BARE, module, ["bare", *common]),
        *(Contestant(f"ours {mode}", module, ["compacter", f"--mode={mode}", *common], is_ours=True) for mode in MODES),
        Contestant(HUGGING_FACE, module, ["hugging-face", *common]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, rounds=5)
    add_choice(parser)
    add_data_arguments(parser)
    parser.add_argument("--size", choices=SIZES, default="base", help="of the T5")
    parser.add_argument("--rows", type=int, default=277, help="first rows of dev.tsv; 277 are all")
    args = parser.parse_args()
    setting = {"size": args.size, "batch_size": args.batch_size, "rows": args.rows}
    with tempfile.TemporaryDirectory() as temporary:
        model = write_model(Path(temporary) / "model", args.size, args.tokenizer)
        data_dir = write_rows(Path(temporary) / "data", args.data_dir, {"dev": args.rows})
        report.run("evaluate", contestants(args, model, data_dir), setting, [BARE, HUGGING_FACE], args)


if __name__ == "__main__":
    main()
