"""Predictions for rows of a task, for a service."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase, T5ForConditionalGeneration

from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.manager import AdapterManager
from lit_compacter.backbones.generation import generate_texts
from lit_compacter.data.options import DataOptions
from lit_compacter.data.tokenization import encode_sources
from lit_compacter.errors import UserError
from lit_compacter.tasks import find_task
from lit_compacter.tasks.predictions import Prediction, make_predictions


def predict(
    model: T5ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    rows: Iterable[Mapping[str, Any]],
    task: str | None = None,
    batch_size: int = 32,
) -> list[Prediction]:
    """What `main.py predict` gives for these rows, by the active adapter.

    Args:
        model: A T5 with an adapter.
        tokenizer: Its tokenizer.
        rows: Rows with the task's columns, such as {"sentence1": "…", "sentence2": "…"} for rte. Labels are not read.
        task: Default: the task that the adapter was trained on.
        batch_size: Rows in one batch.

    Returns:
        For each row a record as in predictions.jsonl, with `prediction` and `raw_text`.

    Raises:
        ValueError: A row lacks a column or has one of another type, or the task is not known.
    """
    manager = AdapterManager.of(model)
    config = manager[manager.active_name].config
    if manager.is_mixed:
        raise UserError("predict sorts the rows and uses the active adapter; leave use_adapters first")
    options = _data_options(config, task)
    found = find_task(options)
    unlabeled = ({name: value for name, value in row.items() if name != found.label} for row in rows)
    parsed = [found.row(row, number) for number, row in enumerate(unlabeled)]
    if not parsed:
        return []
    sources = [found.segments(row, options.add_task_name) for row in parsed]
    encoded, _ = encode_sources(sources, tokenizer, options.max_source_length)
    max_new_tokens = options.max_target_length or found.answer.max_tokens(tokenizer)
    texts = _generate(model, tokenizer, encoded, batch_size, max_new_tokens)
    columns = {
        "row": range(len(parsed)),
        "split": ["rows"] * len(parsed),
        "idx": [row.idx for row in parsed],
        "source": ["".join(segments) for segments in sources],
        "targets": [found.targets(row) for row in parsed],
    }
    return make_predictions(found.answer, columns, texts)


def _generate(
    model: T5ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    encoded: list[list[int]],
    batch_size: int,
    max_new_tokens: int,
) -> list[str]:
    """The text of each input, in batches of similar lengths. The model's modules keep their modes."""
    texts = [""] * len(encoded)
    by_length = sorted(range(len(encoded)), key=lambda number: len(encoded[number]))
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        for start in range(0, len(by_length), batch_size):
            numbers = by_length[start : start + batch_size]
            inputs = [torch.tensor(encoded[number], device=model.device) for number in numbers]
            ids = pad_sequence(inputs, batch_first=True, padding_value=tokenizer.pad_token_id)
            mask = pad_sequence([torch.ones_like(one) for one in inputs], batch_first=True)
            for number, text in zip(numbers, generate_texts(model, tokenizer, ids, mask, max_new_tokens), strict=True):
                texts[number] = text
    finally:
        for module in training:
            module.training = True
    return texts


def _data_options(config: AdapterConfig, task: str | None) -> DataOptions:
    name = task or config.task
    if name is None:
        raise UserError("the adapter does not know its task; give one, such as task='rte'")
    if name == config.task:
        return DataOptions(task=name, **config.inputs)
    return DataOptions(task=name, trained_on=config.task)  # a diagnostic set takes the format of that task
