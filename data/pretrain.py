"""Make `data/tiny-t5`: a tokenizer and a T5 of 1.1 M parameters, pretrained on the generated world of `world.py`."""

import argparse
import re
import time
from collections import Counter
from math import log
from pathlib import Path
from random import Random

import torch
from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer, get_cosine_schedule_with_warmup
from world import SENTINELS, pretraining_pair

HERE = Path(__file__).parent
LEARNING_RATE = 1e-3  # at 2e-3 the answers to yes/no questions stayed a guess
CHARACTER_SCORE = -20.0  # a character costs more than any word, so words are taken whole where they are known


def make_tokenizer(rng: Random) -> T5Tokenizer:
    """A unigram vocabulary of the world's words and ASCII, in T5's order: pad, eos, unk, segments, sentinels."""
    words = Counter(
        word
        for _ in range(20_000)
        for side in pretraining_pair(rng)
        for word in re.findall(r"\b[A-Za-z]{2,}\b", side.replace("<extra_id_", "<"))
    )
    total = words.total()
    segments = [(f"▁{word}", log(count / total)) for word, count in sorted(words.items())]
    characters = ["▁", *map(chr, range(33, 127))]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *segments]
    vocab += [(c, CHARACTER_SCORE) for c in characters]
    vocab += [(f"▁{d}", CHARACTER_SCORE) for d in "0123456789"]
    vocab += [(f"<extra_id_{i}>", 0.0) for i in reversed(range(SENTINELS))]
    return T5Tokenizer(vocab=vocab, extra_ids=SENTINELS)


def make_model(tokenizer: T5Tokenizer) -> T5ForConditionalGeneration:
    """T5 v1.0 (ReLU, tied head) with T5-base's proportions at 1/6 of its width."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_kv=32,
        d_ff=512,
        num_heads=4,
        num_layers=3,
        num_decoder_layers=2,
        dropout_rate=0.0,  # while pretraining, as T5 does: every batch is new text
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return T5ForConditionalGeneration(config)


def pretrain(model: T5ForConditionalGeneration, tokenizer: T5Tokenizer, rng: Random, steps: int, batch: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=200, num_training_steps=steps)
    started, running = time.time(), 0.0
    for step in range(1, steps + 1):
        sources, targets = zip(*(pretraining_pair(rng) for _ in range(batch)), strict=True)
        inputs = tokenizer(list(sources), padding=True, return_tensors="pt")
        labels = tokenizer(list(targets), padding=True, return_tensors="pt").input_ids
        labels[labels == tokenizer.pad_token_id] = -100
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        running += loss.item()
        if step % 100 == 0:
            print(f"step {step}/{steps}  loss {running / 100:.3f}  {time.time() - started:.0f} s", flush=True)
            running = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=64, help="examples per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "tiny-t5")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = Random(args.seed)
    tokenizer = make_tokenizer(rng)
    model = make_model(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} segments")
    pretrain(model, tokenizer, rng, args.steps, args.batch)
    model.config.dropout_rate = 0.1
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    main()
