"""A stock T5, changed in place by a method: its loss, its generated answers, its optimizer and its checkpoints."""

import dataclasses
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedTokenizerBase, T5ForConditionalGeneration

from lit_compacter.adapters.initial import load_initial_adapter, read_initial_adapter
from lit_compacter.backbones.generation import generate_texts, rank_texts
from lit_compacter.backbones.loading import load_skeleton
from lit_compacter.backbones.tokenizer import check_tokenizer
from lit_compacter.backbones.weights import Part
from lit_compacter.checkpoints.compatibility import check_compatible, set_optimizer_options
from lit_compacter.checkpoints.format import FORMAT, METADATA_KEY, Metadata
from lit_compacter.compat import ignore_in_ddp
from lit_compacter.data.collate import IGNORE_INDEX, Batch
from lit_compacter.errors import RunWarning, UserError
from lit_compacter.methods import Method, name_of
from lit_compacter.model import build_model, check_quantization
from lit_compacter.model_options import ModelOptions
from lit_compacter.runtime.connection import gather
from lit_compacter.runtime.step_totals import StepTotals
from lit_compacter.schedule import align_with_run, make_schedule
from lit_compacter.tasks.answer_metrics import AnswerMetrics
from lit_compacter.tasks.answers import Labels
from lit_compacter.tasks.predictions import Prediction, make_predictions
from lit_compacter.tasks.task import Task

if TYPE_CHECKING:
    from lit_compacter.datamodule import GlueDataModule

LEARNING_RATE = "train/learning_rate"


class T5Module(LightningModule):
    """T5 fine-tuned by a method.

    Args:
        method: The fine-tuning method, which decides what is added to the model and which parameters are trained.
            Default: Compacter; for validate, test and predict, the checkpoint's method.
        options: The fields of `ModelOptions`.
    """

    strict_loading = False  # checkpoints lack the frozen backbone; `check_compatible` compares the rest

    def __init__(self, method: Method, **options: Any) -> None:
        super().__init__()
        self.method = method
        self.options = ModelOptions(**options)
        self.model: T5ForConditionalGeneration | None = None
        self.commit: str | None = None  # of the model on the hub, once it was loaded from there
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.totals = StepTotals()
        self.is_finite = torch.tensor(True)  # whether all gradients have been
        self.part: Part | None = None  # of the frozen weights that this process holds, if a strategy shards them
        self.synced_generate = False  # a sharded model needs all processes to decode the same number of tokens
        self.majority_target = ""  # most common training target, which replaces invalid outputs in leaderboard files

    # The model

    def check_options(self, task: Task) -> None:
        """Check the options and the method's, without loading the model's weights.

        Args:
            task: The run's task.

        Raises:
            UserError: The model is not a T5, or the options do not fit it, the task or each other.
        """
        if self.options.evaluate == "rank" and not isinstance(task.answer, Labels):
            raise UserError(
                f"model.evaluate rank needs a task with labels, and the answers of {task.name} are {task.answer.kind}; "
                "use --model.evaluate generate"
            )
        if self.options.quantization is not None:
            check_quantization(self.method, self.options.quantization)
        self.method.check(load_skeleton(self.options.model_name, self.options.revision))
        if self.options.init_from is not None:
            read_initial_adapter(self.options.init_from, self.method)

    def configure_model(self) -> None:
        if self.model is not None:  # Lightning calls this before every verb
            return
        torch.manual_seed(self.options.seed)
        built = build_model(self.method, self.options, self.part)
        model, self.backbone, self.commit, self.weights = built.model, built.backbone, built.commit, built.weights
        if self.tokenizer is not None:
            check_tokenizer(self.tokenizer, model.config)
        if self.options.init_from is not None and self.trainer.state.fn == TrainerFn.FITTING:
            load_initial_adapter(model, built.saved_names, self.options.init_from, self.method, self.backbone)
        self.saved_names = {f"model.{name}" for name in built.saved_names}
        self.model = model
        # Every process builds the same frozen tensors, so only trainable parameters are communicated.
        frozen = {name for name, p in self.named_parameters(remove_duplicate=False) if not p.requires_grad}
        ignore_in_ddp(self, frozen | dict(self.named_buffers()).keys())
        # A function, not a submodule: a compiled submodule would register all parameters a second time.
        self.training_forward: Callable[..., Any] = model.__call__
        if self.options.compile:
            torch.compiler.reset()  # clear the state of an earlier run in this process
            self.training_forward = partial(torch.compile(model, dynamic=True, options={"fallback_random": True}))

    def setup(self, stage: str) -> None:
        data = self._data
        self.task, self.tokenizer, self.max_target_length = data.task, data.tokenizer, data.max_target_length
        self.inputs = data.options.inputs
        self.metrics = AnswerMetrics(self.task.answer, self.task.metrics)
        if stage == "fit":
            self.majority_target = data.majority_target
        if str(self.trainer.precision).startswith("16"):
            advice = ": use --trainer.precision bf16-mixed or 32-true"
            warnings.warn(RunWarning("T5 overflows in fp16", advice), stacklevel=2)

    @property
    def _data(self) -> "GlueDataModule":
        return self.trainer.datamodule  # type: ignore[attr-defined, no-any-return]

    # Training

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Seed dropout by the position in the run, not by its history, so that a resumed run reproduces it.
        place = (self.options.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def on_fit_start(self) -> None:
        """Refuse to train if other ranks have other frozen tensors or rows, which are not communicated.

        Raises:
            UserError: The commits differ; every process raises it.
        """
        first, *others = gather({"model": self.commit, "data": self._data.commit})
        for rank, other in enumerate(others, start=1):
            if other != first:
                raise UserError(
                    f"rank 0 has loaded commits {first}, and rank {rank} {other}; give both --model.revision and "
                    "--data.revision"
                )

    def on_train_start(self) -> None:
        self.totals.reset()
        self.is_finite = torch.tensor(True, device=self.device)
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LambdaLR)
        align_with_run(schedule, self.trainer, self._data.num_trained_batches(self.current_epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return Σ −log p over the target tokens of this rank's batch; `on_before_optimizer_step` makes it a mean."""
        loss = self.totals.attach(self.loss(batch), (batch["labels"] != IGNORE_INDEX).sum())
        return loss * self.trainer.accumulate_grad_batches  # Lightning divides by it

    def loss(self, batch: Batch) -> Tensor:
        """Σ −log p over the target tokens of a batch."""
        assert self.model is not None
        labels = batch["labels"]  # (B, T)
        with self._autocast():
            logits = self.training_forward(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                decoder_input_ids=self.model.prepare_decoder_input_ids_from_labels(labels),
                use_cache=False,
            ).logits  # (B, T, V)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, 1)  # of bfloat16: float32
        return F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradient by the target tokens of the global batch, however the batch is split.

        Raises:
            UserError: A gradient is not finite. On a CPU, the parameters have not been updated with it. On a GPU, which
                would have to wait for the check, it is found at the next step that is logged.
        """
        loss, num_tokens = self.totals.take()  # like the gradients, means over the processes
        self.log("train/loss", loss / num_tokens, prog_bar=True, batch_size=1)
        self.log(LEARNING_RATE, optimizer.param_groups[0]["lr"], batch_size=1)
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        scale = 1 / num_tokens
        for gradient in gradients:
            gradient.mul_(scale)
        if getattr(self.trainer.precision_plugin, "scaler", None):  # the fp16 scaler skips such a step
            return
        self.is_finite &= torch.nn.utils.get_total_norm(gradients).isfinite()
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # steps at which the loggers wait too
        if self.device.type == "cpu" or (every and (self.global_step + 1) % every == 0):
            self.check_finite()

    def check_finite(self) -> None:
        """Raise UserError if a gradient was not finite."""
        if not self.is_finite:
            raise UserError(
                f"training diverged: a gradient is not finite, at or before optimizer step {self.global_step + 1}; the "
                "checkpoints were written before that. Lower --model.learning_rate"
            )

    def _autocast(self) -> AbstractContextManager[None]:
        """Compute in bfloat16 if the frozen weights are not in float32; else as `trainer.precision` says."""
        if not self.options.computes_in_bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW; its learning rate rises linearly over the warm-up and falls linearly to 0 at the run's end.

        Raises:
            UserError: The run has no end.
        """
        assert self.model is not None
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=self.options.learning_rate, weight_decay=self.options.weight_decay)
        schedule = make_schedule(optimizer, self.trainer, self.options.warmup_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # Evaluation

    def answer(self, batch: Batch) -> list[str]:
        """An answer for each input: greedily decoded, or the likeliest label (`model.evaluate`)."""
        assert self.model is not None and self.tokenizer is not None
        inputs = self.model, self.tokenizer, batch["input_ids"], batch["attention_mask"]
        with self._autocast():
            if self.options.evaluate == "rank":
                assert isinstance(self.task.answer, Labels)
                return rank_texts(*inputs, self.task.answer.targets)
            return generate_texts(*inputs, self.max_target_length, self.synced_generate)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.metrics.update(self.answer(batch), batch["targets"], batch["group"], batch["row"])

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _log_metrics(self, stage: str) -> None:
        values = self.metrics.compute()
        for name, value in values.items():
            self.log(f"{stage}/{name}", value, prog_bar=name == "score")
        if values["invalid"] == 1:
            told = f"no output was an answer of task {self.task.name}, so every score counts wrong answers"
            samples = f"; for example {self.metrics.describe_samples()}"
            early = ". Early in training this is normal; otherwise train longer or with a higher learning rate"
            is_final = stage == "test"
            warnings.warn(RunWarning(told, samples) if is_final else f"{told}{samples}{early}", stacklevel=2)
        self.metrics.reset()

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Prediction]:
        return make_predictions(self.task.answer, batch, self.answer(batch))

    # Checkpoints

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The tensors that the method added or trains."""
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if name in self.saved_names}

    def checkpoint_metadata(self) -> Metadata:
        """How the checkpoint was made."""
        return {
            "format": FORMAT,
            "method": name_of(type(self.method)),
            "options": dataclasses.asdict(self.method),  # type: ignore[call-overload]
            "task": self.task.name,
            "inputs": self.inputs,
            "majority_target": self.majority_target,
            "model_name": self.options.model_name,
            "model_commit": self.commit,
            "data_commit": self._data.commit,
            "backbone": self.backbone,
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.check_finite()
        checkpoint[METADATA_KEY] = self.checkpoint_metadata()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the checkpoint fits this run before using it.

        Raises:
            UserError: The method, backbone or tensors differ or, when resuming, the task or its inputs.
        """
        resume = bool(self.trainer.training)
        check_compatible(checkpoint, self.checkpoint_metadata(), self.state_dict(), resume)
        saved: Metadata = checkpoint[METADATA_KEY]
        self.majority_target = saved["majority_target"]
        if not resume and saved["task"] not in (self.task.name, *self.task.trained_on):
            warnings.warn(f"the checkpoint was trained on {saved['task']}", stacklevel=2)
        if resume and None not in (commits := (saved["data_commit"], self._data.commit)) and len({*commits}) == 2:
            warnings.warn(
                f"the data set is at another commit ({commits[1]}) than when the checkpoint was written; for the same "
                f"rows give --data.revision {commits[0]}",
                stacklevel=2,
            )
        if resume:
            set_optimizer_options(checkpoint, self.options.learning_rate, self.options.weight_decay)
            # Lightning saves this state, but does not pass it to loaders already created to count optimizer steps.
            states = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader")
            self._data.resumed = states[0] if states else None  # a custom loader may have none
