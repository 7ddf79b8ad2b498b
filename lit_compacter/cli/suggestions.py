"""Suggestions for options that do not exist."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from pytorch_lightning import callbacks, loggers, plugins, profilers, strategies

from lit_compacter.cli.request import METHOD, class_name, class_options, class_path, init_args
from lit_compacter.errors import did_you_mean
from lit_compacter.methods import METHODS, Compacter

# Option → its names in AdapterHub, PEFT, Hugging Face's Trainer and the paper's code.
SYNONYMS = {
    "seed_everything": ("seed", "random_seed"),
    "ckpt_path": ("resume", "resume_from_checkpoint", "checkpoint", "load"),
    "run_name": ("name", "experiment_name"),
    "save_every_n_steps": ("save_every", "save_steps", "save_interval"),
    "model.method": ("adapter", "adapter_config", "peft", "peft_config", "peft_type"),
    "model.method.reduction_factor": ("reduction", "task_reduction_factor", "adapter_reduction_factor", "bottleneck"),
    "model.method.phm_dim": ("n", "hypercomplex_division", "hypercomplex_dim"),
    "model.method.phm_rank": ("r", "rank", "lora_r"),
    "model.method.rank": ("low_rank_rank",),
    "model.method.shared_phm_rule": ("shared_rule", "share_rule"),
    "model.method.factorized_phm_rule": ("factorized_rule", "factorized_phm", "factorised_rule"),
    "model.method.learn_phm_rule": ("learn_phm", "train_rule"),
    "model.method.shared_factors": ("shared_w_phm",),
    "model.method.sublayers": ("where", "mh_adapter", "output_adapter"),
    "model.method.init": ("phm_init", "phm_c_init", "init_weights", "hypercomplex_nonlinearity", "c_init"),
    "model.method.length": ("num_virtual_tokens", "prompt_length", "prefix_dim", "prefix_length"),
    "model.method.dim": ("intrinsic_dim", "intrinsic_dimension"),
    "model.model_name": ("model", "model_id", "model_name_or_path", "base_model", "backbone"),
    "model.learning_rate": ("lr",),
    "model.warmup_steps": ("warmup", "warmup_ratio", "num_warmup_steps"),
    "model.weight_decay": ("wd",),
    "model.compile": ("torch_compile",),
    "data.task": ("task_name", "dataset", "dataset_name"),
    "data.batch_size": ("bs", "train_batch_size", "per_device_train_batch_size", "per_device_eval_batch_size"),
    "data.max_tokens_per_batch": ("max_tokens", "token_budget", "tokens_per_batch"),
    "data.max_source_length": ("max_length", "max_seq_length", "max_input_length"),
    "data.validation_file": ("val_file", "eval_file", "dev_file"),
    "data.data_dir": ("data_path", "dataset_dir"),
    "trainer.max_epochs": ("epochs", "num_epochs", "n_epochs", "num_train_epochs"),
    "trainer.max_steps": ("steps", "num_steps", "num_train_steps"),
    "trainer.accumulate_grad_batches": ("accumulation", "gradient_accumulation", "gradient_accumulation_steps"),
    "trainer.precision": ("fp16", "bf16", "amp", "mixed_precision", "dtype", "torch_dtype"),
    "trainer.gradient_clip_val": ("max_grad_norm", "clip", "gradient_clipping"),
    "trainer.devices": ("gpus", "n_gpu", "num_gpus", "nproc_per_node", "num_processes"),
    "trainer.accelerator": ("device", "cpu", "cuda", "no_cuda", "use_cpu"),
    "trainer.default_root_dir": ("output", "output_dir", "out_dir", "save_dir"),
    "trainer.log_every_n_steps": ("logging_steps", "log_interval"),
    "trainer.val_check_interval": ("eval_steps", "eval_interval"),
    "trainer.logger": ("report_to", "wandb", "tensorboard"),
}
OPTION_OF = {synonym: option for option, names in SYNONYMS.items() for synonym in names}
MIN_SIMILARITY = 0.6  # of names that are suggested
MAX_LISTED = 8


def similarity(given: str, option: str) -> float:
    """Similarity from 0 to 1, by the whole name or its last part; 1 for another project's name for the option."""
    leaf = given.rpartition(".")[2]
    if OPTION_OF.get(leaf) == option:
        return 1.0
    pairs = ((given, option), (leaf, option.rpartition(".")[2]))
    return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)


def nearest_first(given: str, options: Iterable[str]) -> list[str]:
    """The options, sorted by similarity to the given name."""
    return sorted(options, key=lambda option: -similarity(given, option))


def explain_unknown_option(given: Mapping[str, Any], known: Iterable[str], method: Any = None) -> str | None:
    """The message for the first option or class that does not exist; None if all exist.

    Args:
        given: Dotted name → value, as `request.flatten` returns them.
        known: Dotted names of all options.
        method: The value of model.method that the options belong to. Default: Compacter.
    """
    owner = class_name(method) if method is not None else Compacter.__name__
    known = [*(name for name in known if not name.startswith(f"{METHOD}.")), METHOD]
    if METHOD in given and (message := _wrong_method(given[METHOD])):
        return message
    for name, value in given.items():
        if not any(_is_of(name, other) or _is_of(other, name) for other in known):
            return _unknown_option(name, [*known, *(f"{METHOD}.{option}" for option in _options(owner) or ())])
        for one in value if isinstance(value, list) else [value]:
            message = _unknown_init_arg(class_name(one), init_args(one)) if isinstance(one, dict) else None
            if message and name != METHOD:
                return f"{name}: {message}"
    return _unknown_init_arg(owner, class_options(given, METHOD))


def _is_of(name: str, section: str) -> bool:
    return f"{name}.".startswith(f"{section}.")


def _wrong_method(value: Any) -> str | None:
    name = class_name(value)
    if not name:
        return f"{METHOD} is {value}; expected the name of a method, or class_path: its name and init_args: its options"
    if name in METHODS or "." in class_path(value):
        return None
    return f"unknown method {name!r}{did_you_mean(name, METHODS)} (the methods are {', '.join(METHODS)})"


def _unknown_option(given: str, offered: list[str]) -> str:
    nearest = nearest_first(given, offered)
    meant = f"; did you mean {nearest[0]!r}?" if similarity(given, nearest[0]) >= MIN_SIMILARITY else ""
    section, dot, _ = given.partition(".")
    inside = [name.removeprefix(f"{section}.") for name in nearest if dot and _is_of(name, section)]
    return f"there is no option {given!r}{meant}" + _listed(section, inside)


def _unknown_init_arg(owner: str, given: Iterable[str]) -> str | None:
    """As `explain_unknown_option`, for the options of a class."""
    options = _options(owner)
    unknown = next((name for name in given if options is not None and name not in options), None)
    if unknown is None or options is None:
        return None
    prefix = f"{METHOD}." if owner in METHODS else ""
    nearest = nearest_first(f"{prefix}{unknown}", [f"{prefix}{name}" for name in options])
    others = [name for name in METHODS if prefix and unknown in (_options(name) or ())]
    meant = ""
    if nearest and similarity(unknown, nearest[0]) >= MIN_SIMILARITY:
        meant = f"; did you mean {nearest[0].removeprefix(prefix)!r}?"
    elif others:
        meant = f"; it is an option of {' and '.join(others)}"
    return f"{owner} has no option {unknown!r}{meant}" + _listed(owner, [name.removeprefix(prefix) for name in nearest])


def _listed(owner: str, options: list[str]) -> str:
    """The options of a class or a section, nearest first."""
    if not options:
        return ""
    return f" ({owner} has {', '.join(options[:MAX_LISTED])}{', …' if len(options) > MAX_LISTED else ''})"


def _options(owner: str) -> list[str] | None:
    """Option names of a method or a Lightning class; None for other classes, or if the class takes any option."""
    places = (callbacks, loggers, plugins, profilers, strategies)
    found = METHODS.get(owner) or next((vars(place)[owner] for place in places if owner in vars(place)), None)
    parameters = inspect.signature(found).parameters.values() if isinstance(found, type) else []
    if found is None or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]
