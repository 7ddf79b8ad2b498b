"""The model as a module: what it answers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.trainer.states import TrainerFn
from transformers import AutoTokenizer

from lit_compacter.backbones.generation import rank_texts
from lit_compacter.cli.main import main
from lit_compacter.errors import UserError
from lit_compacter.methods import Compacter, LayerNorms
from lit_compacter.module import T5Module
from tests.command_line import command
from tests.conftest import TINY
from tests.models import small_t5


@pytest.mark.parametrize(("encoder", "decoder"), [(2, 2), (3, 1), (1, 3)])
def test_answers_are_greedy(encoder: int, decoder: int, tmp_path: Path) -> None:
    """Step by step the likeliest token, whatever the depths and whatever else the model was published to do."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    model = small_t5(num_layers=encoder, num_decoder_layers=decoder, vocab_size=len(tokenizer))
    model.generation_config.update(min_length=9, no_repeat_ngram_size=1, num_beams=4)
    model.save_pretrained(tmp_path)
    module = T5Module(LayerNorms(), model_name=str(tmp_path))
    module.configure_model()
    module.tokenizer, module.max_target_length = tokenizer, 6
    module.eval()
    batch: Any = dict(tokenizer(["What is a plum?", "tea"], padding=True, return_tensors="pt"))
    ids = torch.zeros(2, 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(6):
            likeliest = model(**batch, decoder_input_ids=ids, use_cache=False).logits[:, -1].argmax(-1)
            ids = torch.cat([ids, likeliest[:, None]], dim=1)
    assert 1 not in ids, "none ends early"
    assert module.answer(batch) == tokenizer.batch_decode(ids, skip_special_tokens=True)


def test_the_likeliest_label(tmp_path: Path) -> None:
    """Labels of several tokens and lengths are ranked by the probability of their whole text, with its end."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    model = small_t5(vocab_size=len(tokenizer))
    torch.nn.init.normal_(model.lm_head.weight, std=0.3)  # else all inputs have the same answer
    answers = ("yes", "not a plum", "tea")
    batch = tokenizer([f"{word} {word}" for word in "a plum is tea not".split()], padding=True, return_tensors="pt")
    expected = []
    for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True):
        losses = []
        for answer in answers:
            labels = tokenizer(answer, return_tensors="pt").input_ids
            inputs = {"input_ids": ids[None, mask.bool()], "labels": labels}
            losses.append(model(**inputs).loss.item() * labels.shape[1])
        expected.append(answers[losses.index(min(losses))])
    assert len(set(expected)) > 1, "not always the same"
    assert rank_texts(model, tokenizer, batch.input_ids, batch.attention_mask, answers) == expected


def test_frozen_weights_in_bfloat16() -> None:
    module = T5Module(Compacter(reduction_factor=8), model_name=str(TINY), backbone_dtype="bfloat16")
    module.configure_model()
    model = module.model
    assert model is not None
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    held = {name for name, dtype in types.items() if dtype == torch.bfloat16}
    assert all(types[name] == torch.float32 for name in trained), "nothing that is trained is rounded"
    assert types["shared.weight"] == torch.bfloat16 and all(".bias" not in name for name in held)
    size = sum(p.numel() for name, p in model.named_parameters() if name in held)
    assert size > 0.97 * sum(p.numel() for name, p in model.named_parameters() if name not in trained)
    plain = T5Module(Compacter(reduction_factor=8), model_name=str(TINY))
    plain.configure_model()
    assert module.backbone == plain.backbone, "one checkpoint fits both"


def test_no_checkpoint_is_written_after_a_gradient_that_is_not_finite() -> None:
    """On a GPU it may not have been found before a validation writes one."""
    module = T5Module(LayerNorms(), model_name=str(TINY))
    module.trainer = Trainer(accelerator="cpu", logger=False)
    module.trainer.state.fn, module.trainer.validating = TrainerFn.FITTING, True
    module.is_finite = torch.tensor(False)
    with pytest.raises(UserError, match="training diverged"):
        module.on_save_checkpoint({})


def test_no_step_waits_for_the_device(tmp_path: Path) -> None:
    """A value that is read on the host stops a GPU at each step; here the profile counts such reads."""
    options = [f"--trainer.default_root_dir={tmp_path}", "--trainer.max_steps=6", "--model.warmup_steps=1"]
    options += ["--trainer.callbacks+=tests.user_callbacks.CountHostReads", "--trainer.enable_progress_bar=false"]
    main(["fit", "--config", "demo.yaml", "--trainer.accelerator=cpu", "--trainer.limit_val_batches=1", *options])
    from tests.user_callbacks import CountHostReads

    assert CountHostReads.counts
    assert set(CountHostReads.counts) == {1}, "the check for finite gradients, which runs at each step on CPUs only"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], torch.float32),
        (["--trainer.precision=bf16-mixed"], torch.bfloat16),
        (["--model.backbone_dtype=bfloat16"], torch.bfloat16),
    ],
)
def test_the_type_that_is_computed_in(
    options: list[str], expected: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def watch(linear: torch.nn.Linear, args: Any, output: torch.Tensor) -> None:
        found.append(output.dtype)

    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, args, output: watch(module, args, output) if isinstance(module, torch.nn.Linear) else None
    )
    try:
        main(command("fit", tmp_path, *options))
    finally:
        handle.remove()
    assert set(found) == {expected}, "in training and in validation"
