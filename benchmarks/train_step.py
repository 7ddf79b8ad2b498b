"""Time and memory of one training step of T5 with random weights, against peers.

`python -m benchmarks.train_step --out DIR` measures forward, backward and AdamW, in interleaved rounds. Peers that need
their own versions of libraries take part after `make bench-peers`.
"""

import argparse

from benchmarks import report
from benchmarks.compare import Contestant, add_arguments, add_choice
from benchmarks.ours import MODES
from benchmarks.sizes import SIZES
from benchmarks.workers.step import OURS, TARGET_TOKENS

FLOOR, ADAPTERHUB = "floor", "AdapterHub fp32"  # what the others are compared with
OPTIONS = ("size", "batch_size", "length", "steps", "device")


def contestants(args: argparse.Namespace) -> list[Contestant]:
    """Everyone who can take part."""
    module, common = "benchmarks.workers.step", [f"--{name}={getattr(args, name)}" for name in OPTIONS]
    return [
        Contestant(FLOOR, module, ["floor", *common]),
        Contestant("full", module, ["full", *common]),
        *(Contestant(f"ours {mode}", module, [f"{OURS}{mode}", *common], is_ours=True) for mode in MODES),
        Contestant(ADAPTERHUB, module, ["adapterhub", *common], peer="adapters"),
        Contestant("AdapterHub bf16 autocast", module, ["adapterhub", "--bf16", *common], peer="adapters"),
        Contestant("PEFT LoRA", module, ["lora", *common], package="peft"),
        Contestant("OpenDelta", module, ["opendelta", *common], peer="opendelta"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, rounds=10, warm_up=2)
    add_choice(parser)
    parser.add_argument("--size", choices=SIZES, default="base", help="of the T5")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--length", type=int, default=128, help="source tokens")
    parser.add_argument("--steps", type=int, default=1, help="steps of a contestant in a round")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    setting = {name: getattr(args, name) for name in OPTIONS} | {"target_tokens": TARGET_TOKENS}
    report.run("train_step", contestants(args), setting, [FLOOR, ADAPTERHUB], args)


if __name__ == "__main__":
    main()
