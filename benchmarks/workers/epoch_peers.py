"""Work of one epoch and evaluation after another, with Hugging Face's Seq2SeqTrainer. Runs in peers' environments."""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

from benchmarks.sizes import SIZES
from benchmarks.workers.data import load_tokenizer, tokenized_rows
from benchmarks.workers.peers import KINDS, make_peer
from benchmarks.workers.serve import serve, set_threads
from benchmarks.workers.step import LEARNING_RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--data_dir", type=Path, required=True, help="holds RTE/train.tsv and dev.tsv")
    parser.add_argument("--model", type=Path, required=True, help="folder with a tokenizer")
    args = parser.parse_args()
    set_threads()
    trainer_class: Any = Seq2SeqTrainer
    if args.kind == "adapterhub":
        from adapters import Seq2SeqAdapterTrainer

        trainer_class = Seq2SeqAdapterTrainer
    tokenizer = load_tokenizer(args.model)
    model = make_peer(args.kind, args.size)
    rows = {split: tokenized_rows(args.data_dir, split, tokenizer) for split in ("train", "dev")}
    new_tokens = max(len(row["labels"]) for row in rows["train"])

    def make_trainer(folder: str) -> Any:
        options = Seq2SeqTrainingArguments(
            folder,
            per_device_train_batch_size=args.batch_size,
            per_device_eval_batch_size=args.batch_size,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            bf16=args.bf16,
            predict_with_generate=True,
            generation_max_length=1 + new_tokens,  # it counts the decoder's start token
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        collator = DataCollatorForSeq2Seq(tokenizer, model)
        return trainer_class(
            model, options, train_dataset=rows["train"], eval_dataset=rows["dev"], data_collator=collator
        )

    def unit() -> Mapping[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            trainer = make_trainer(folder)
            started = time.perf_counter()
            trainer.train()
            trained = time.perf_counter()
            trainer.evaluate()
            ended = time.perf_counter()
        return {"train": trained - started, "evaluate": ended - trained, "both": ended - started}

    serve(unit, trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad))


if __name__ == "__main__":
    main()
