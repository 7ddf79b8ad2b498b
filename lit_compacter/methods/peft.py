"""Methods of the PEFT library that change a model in place, such as LoRA and IA³."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transformers import T5ForConditionalGeneration

from lit_compacter.errors import UserError, first_line
from lit_compacter.methods.base import Method

if TYPE_CHECKING:
    from peft import PeftConfig

OWN_LOOP = ("ADALORA", "POLY")  # need extra calls or inputs at each step
QUANTIZABLE = ("LORA", "IA3")  # do not read the weights, if their options below have one of these values
LEAVES_WEIGHTS = {"use_dora": (False,), "init_lora_weights": (True, False, "gaussian")}
NAMES_CODE = ("megatron_config", "megatron_core")  # PEFT imports what they name


@dataclass
class Peft(Method):
    """Any method that PEFT's `inject_adapter_in_model` takes."""

    config: dict[str, Any] = field(default_factory=lambda: {"peft_type": "LORA", "target_modules": ["q", "v"]})
    """PEFT's config with its `peft_type`, such as {peft_type: LORA, r: 8, target_modules: [q, v]}."""

    def check(self, skeleton: T5ForConditionalGeneration) -> None:
        self.make_config()  # without injection: some initializations need the weights

    def inject(self, model: T5ForConditionalGeneration) -> None:
        config = self.make_config()
        from peft import inject_adapter_in_model

        try:
            inject_adapter_in_model(config, model)
        except Exception as error:  # PEFT's tuners raise many types
            raise UserError(f"model.method.config: {first_line(error)}") from error

    def make_config(self) -> "PeftConfig":
        """PEFT's config object. Raises UserError if PEFT is not installed or refuses the options."""
        try:
            from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
        except ImportError as error:
            raise UserError("method Peft needs the library peft: pip install 'lit-compacter[peft]'") from error
        options = dict(self.config)
        kind = options.pop("peft_type", None)
        kinds = {str(name.value): made for name, made in PEFT_TYPE_TO_CONFIG_MAPPING.items() if name not in OWN_LOOP}
        if not isinstance(kind, str) or kind not in kinds:
            raise UserError(f"model.method.config.peft_type is {kind!r}; expected one of {', '.join(kinds)}")
        if named := [option for option in NAMES_CODE if option in options]:
            raise UserError(
                f"model.method.config.{named[0]} names a module to import, for models that are not a T5: omit it"
            )
        try:
            return kinds[kind](task_type="SEQ_2_SEQ_LM", **options)
        except Exception as error:  # PEFT's configs raise many types
            raise UserError(f"model.method.config: {first_line(error)}") from error

    def obstacle_to_quantization(self) -> str | None:
        kind = self.config.get("peft_type")
        if kind not in QUANTIZABLE:
            return f"has peft_type {kind}, which may read the weights, unlike {' and '.join(QUANTIZABLE)}"
        for option, values in LEAVES_WEIGHTS.items():
            if option in self.config and self.config[option] not in values:
                return f"has {option} {self.config[option]}, which reads the weights"
        return None

    def reads_weights(self) -> bool:
        return self.obstacle_to_quantization() is not None or "modules_to_save" in self.config  # it copies those

    def summary_group(self, name: str) -> str:
        return str(self.config["peft_type"]).lower()
