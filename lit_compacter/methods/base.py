"""The base class of fine-tuning methods."""

from abc import ABC, abstractmethod

from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import is_layer_norm
from lit_compacter.errors import UserError


class Method(ABC):
    """Freezes a stock model, then adds or unfreezes what is trained.

    Subclasses are dataclasses; YAML and the command line set their fields. A checkpoint holds every tensor that the
    method added, and every base tensor that it trains.
    """

    def apply(self, model: T5ForConditionalGeneration) -> None:
        """Change `model` in place; then `requires_grad` says what is trained.

        Raises:
            UserError: The method's options do not fit the model, or leave nothing to train.
        """
        model.requires_grad_(False)
        self.inject(model)
        if not any(parameter.numel() for parameter in model.parameters() if parameter.requires_grad):
            raise UserError(f"method {type(self).__name__} with these options trains nothing: {self}")

    def check(self, skeleton: T5ForConditionalGeneration) -> None:  # noqa: B027  # optional
        """Check the options before weights and data are loaded. Default: `apply` alone checks them.

        Args:
            skeleton: The model on the meta device, without values; it may be changed.

        Raises:
            UserError: The options do not fit the model.
        """

    @abstractmethod
    def inject(self, model: T5ForConditionalGeneration) -> None:
        """Add modules to the frozen `model` and unfreeze what is trained with them."""

    def summary_group(self, name: str) -> str:
        """The line of the parameter summary that counts the trainable tensor `name`."""
        return "layer norms" if is_layer_norm(name) else "backbone"
