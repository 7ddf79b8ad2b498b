"""Work of one evaluation after another: generate and decode RTE's validation rows."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import datasets
import torch

from benchmarks import ours
from benchmarks.sizes import SIZES
from benchmarks.workers.serve import serve, set_threads
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.methods import Compacter, FullFineTuning, Method
from lit_compacter.module import T5Module

METHODS: dict[str, type[Method]] = {"compacter": Compacter, "bare": FullFineTuning}  # the latter adds nothing
HUGGING_FACE = "hugging-face"


def as_validate(module: T5Module, data: GlueDataModule) -> Iterator[list[str]]:
    """What `T5Module.validation_step` does, without metrics: batches of similar lengths."""
    for batch in data.val_dataloader():
        yield module.answer(batch)


def as_generate(module: T5Module, data: GlueDataModule) -> Iterator[list[str]]:
    """What a user of transformers writes: batches in the order of the file."""
    assert module.model is not None
    rows, size = data.data["validation"]["input_ids"][:], data.options.batch_size
    for start in range(0, len(rows), size):
        batch = data.tokenizer.pad({"input_ids": rows[start : start + size]}, return_tensors="pt")
        ids = module.model.generate(**batch, max_new_tokens=data.max_target_length, do_sample=False, num_beams=1)
        yield data.tokenizer.batch_decode(ids, skip_special_tokens=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=(*METHODS, HUGGING_FACE))
    parser.add_argument("--mode", choices=ours.MODES, default="fp32")
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--data_dir", type=Path, required=True, help="holds RTE/dev.tsv")
    parser.add_argument("--model", type=Path, required=True, help="folder with a config and a tokenizer")
    args = parser.parse_args()
    set_threads()
    datasets.disable_progress_bars()
    method = METHODS.get(args.kind, FullFineTuning)()
    module = ours.make_module(args.size, args.mode, method)
    data = GlueDataModule(
        task="rte",
        data_dir=str(args.data_dir),
        model_name=str(args.model),
        batch_size=args.batch_size,
        split="official",
        cache_dir=str(args.data_dir / "cache"),
    )
    data.setup("validate")
    module.tokenizer, module.max_target_length = data.tokenizer, data.max_target_length
    module.eval()
    evaluate: Callable[[T5Module, GlueDataModule], Iterator[list[str]]]
    evaluate = as_generate if args.kind == HUGGING_FACE else as_validate

    def unit() -> Mapping[str, float]:
        started = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=ours.is_autocast(args.mode)):
            for _ in evaluate(module, data):
                pass
        return {"evaluate": time.perf_counter() - started}

    serve(unit)


if __name__ == "__main__":
    main()
