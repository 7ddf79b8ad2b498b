"""The base class of fine-tuning methods."""

from abc import ABC, abstractmethod

from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import is_layer_norm
from lit_compacter.errors import UserError


class Method(ABC):
    """Freezes a stock model, then adds or unfreezes the trainable parameters.

    Subclasses are dataclasses; YAML and the command line set their fields. A checkpoint holds every tensor that the
    method added, and every base tensor that it trains.
    """

    def apply(self, model: T5ForConditionalGeneration) -> None:
        """Change `model` in place. Afterward, `requires_grad` marks the trainable parameters.

        Raises:
            UserError: The method's options do not fit the model, or leave nothing to train.
        """
        model.requires_grad_(False)
        self.inject(model)
        if not any(parameter.numel() for parameter in model.parameters() if parameter.requires_grad):
            raise UserError(f"method {type(self).__name__} with these options trains nothing: {self}")

    def check(self, skeleton: T5ForConditionalGeneration) -> None:  # noqa: B027  # optional
        """Check the options before weights and data are loaded. By default, only `apply` checks them.

        Args:
            skeleton: The model on the meta device, without values; it may be changed.

        Raises:
            UserError: The options do not fit the model.
        """

    def obstacle_to_quantization(self) -> str | None:
        """Why the method cannot be used with `model.quantization`, such as "trains all weights"; None if it can."""
        return None

    def reads_weights(self) -> bool:
        """Whether `inject` reads the values of the backbone's weights. Strategy sharded must then load them whole."""
        return False

    @abstractmethod
    def inject(self, model: T5ForConditionalGeneration) -> None:
        """Add modules to the frozen `model`, and unfreeze the base parameters to train with them."""

    def summary_group(self, name: str) -> str:
        """The group of the trainable tensor `name` in the parameter summary."""
        return "layer norms" if is_layer_norm(name) else "backbone"
