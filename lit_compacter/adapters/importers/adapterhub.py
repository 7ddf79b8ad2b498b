"""Adapters of AdapterHub's `adapters` library: bottleneck adapters, PHM adapters and Compacter of T5 models."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import T5ForConditionalGeneration

from lit_compacter.adapters.importers.names import PHM, PLAIN
from lit_compacter.backbones.t5 import named_layer_norms, sites
from lit_compacter.errors import UserError
from lit_compacter.methods import Adapter, Compacter
from lit_compacter.methods.compacter import SHARED_RULE

NON_LINEARITIES = {"gelu": "gelu", "gelu_new": "gelu_new", "relu": "relu", "swish": "silu", "silu": "silu"}
SUBLAYERS = {"mh_adapter": "self_attention", "cross_adapter": "cross_attention", "output_adapter": "feed_forward"}
# Options of AdapterHub for which our adapters compute the same function: name → value, and why another differs.
REQUIRED: dict[str, tuple[Any, str]] = {
    "original_ln_before": (False, "it feeds the adapter the sum with the residual, another function than the paper's"),
    "original_ln_after": (True, "it leaves out the layer norm after the adapter"),
    "residual_before_ln": (True, "its residual connection starts elsewhere"),
    "adapter_residual_before_ln": (False, "its residual connection starts elsewhere"),
    "ln_before": (False, "it has a layer norm of its own"),
    "ln_after": (False, "it has a layer norm of its own"),
    "is_parallel": (False, "it is parallel to its sublayer"),
    "scaling": (1.0, "it scales the output"),
    "use_gating": (False, "it has a gate"),
    "inv_adapter": (None, "it has an invertible adapter"),
    "leave_out": ([], "it leaves blocks out"),
    "shared_W_phm": (False, "it shares the factors"),
    "phm_bias": (True, "it has no biases"),
}
KEY = re.compile(
    r"(?:transformer\.)?(?P<sublayer>(?:encoder|decoder)\.block\.\d+\.layer\.\d)\.adapters\.[^.]+\."
    r"adapter_(?P<linear>down|up)(?:\.0)?\.(?P<tensor>\w+)"
)
SHARED_KEY = re.compile(r"(?:transformer\.)?shared_parameters\.[^.]+\.(?P<tensor>phm_rule(?:_left|_right)?)")


def make_adapterhub_method(config: Mapping[str, Any], where: str) -> Adapter:
    """The method that an adapter of AdapterHub has.

    Args:
        config: The `config` entry of its adapter_config.json.
        where: The file, for messages.

    Raises:
        UserError: It is another kind of adapter, or computes another function.
    """
    if "reduction_factor" not in config or config.get("architecture") not in (None, "bottleneck"):
        kind = config.get("architecture") or "unknown"
        raise UserError(f"{where} is a {kind} adapter of AdapterHub; expected a bottleneck adapter or Compacter")
    for option, (value, reason) in REQUIRED.items():
        if config.get(option, value) != value:
            raise UserError(f"{where} has {option} {config[option]}, which cannot be reproduced: {reason}")
    if not isinstance(config["reduction_factor"], int | float) or config["reduction_factor"] < 1:
        raise UserError(f"{where} has reduction_factor {config['reduction_factor']}; expected a number, 1 or more")
    if config["non_linearity"] not in NON_LINEARITIES:
        raise UserError(f"{where} has non_linearity {config['non_linearity']}; expected {', '.join(NON_LINEARITIES)}")
    options: dict[str, Any] = {
        "reduction_factor": int(config["reduction_factor"]),
        "sublayers": tuple(ours for theirs, ours in SUBLAYERS.items() if config.get(theirs)),
        "non_linearity": NON_LINEARITIES[config["non_linearity"]],
    }
    if not config.get("phm_layer"):
        return Adapter(**options)
    return Compacter(
        **options,
        phm_dim=config["phm_dim"],
        phm_rank=config["phm_rank"] if config["factorized_phm_W"] else None,
        shared_phm_rule=config["shared_phm_rule"],
        factorized_phm_rule=config["factorized_phm_rule"],
        learn_phm_rule=config["learn_phm"],
    )


def convert_adapterhub_tensors(
    tensors: Mapping[str, Tensor], method: Adapter, model: T5ForConditionalGeneration, where: str
) -> dict[str, Tensor]:
    """AdapterHub's tensors under our names, with the layer norms of the model, which AdapterHub does not train.

    Raises:
        UserError: The shared rule is absent, or a tensor is not one of such an adapter.
    """
    if isinstance(method, Compacter) and method.shared_phm_rule and not any(map(SHARED_KEY.fullmatch, tensors)):
        raise UserError(
            f"{where} lacks the shared phm_rule: `adapters` does not save it for T5ForConditionalGeneration, and loads "
            "a random one instead; save the adapter from a T5AdapterModel"
        )
    hosts = {".".join(site.name.split(".")[:5]): site.name for site in sites(model, method.sublayers)}
    names = PHM if isinstance(method, Compacter) else PLAIN
    state: dict[str, Tensor] = {
        f"{name}.weight": norm.get_parameter("weight") for name, norm in named_layer_norms(model)
    }
    for key, tensor in tensors.items():
        if match := SHARED_KEY.fullmatch(key):
            state[match["tensor"]] = tensor
        elif (match := KEY.fullmatch(key)) and match["sublayer"] in hosts and match["tensor"] in names:
            state[f"{hosts[match['sublayer']]}.{method.NAME}.{match['linear']}.{names[match['tensor']]}"] = tensor
        else:
            raise UserError(f"{where} has the tensor {key}, which does not belong to such an adapter")
    return state


def to_adapterhub(
    method: Adapter, state: Mapping[str, Tensor], d_model: int, name: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Our adapter as AdapterHub's: its configuration and its tensors.

    AdapterHub has no layer norms in an adapter. They are kept under their names in the model, which it overwrites.

    Args:
        method: The method.
        state: The adapter's tensors.
        d_model: The model dimension.
        name: Name of the adapter.

    Raises:
        UserError: AdapterHub has no such adapter.
    """
    config = _adapterhub_config(method)
    names = {ours: theirs for theirs, ours in (PHM if isinstance(method, Compacter) else PLAIN).items()}
    key = re.compile(rf"(?P<sublayer>.*\.layer\.\d)\..*\.{method.NAME}\.(?P<linear>down|up)\.(?P<tensor>.*)")
    tensors = {}
    for ours, tensor in state.items():
        if ours.startswith(SHARED_RULE):
            tensors[f"shared_parameters.{name}.{ours}"] = tensor
        elif match := key.fullmatch(ours):
            linear = {"down": "adapter_down.0", "up": "adapter_up"}[match["linear"]]
            tensors[f"{match['sublayer']}.adapters.{name}.{linear}.{names[match['tensor']]}"] = tensor
        else:
            tensors[ours] = tensor
    content = {
        "config": config,
        "hidden_size": d_model,
        "model_class": "T5ForConditionalGeneration",
        "model_name": "",
        "model_type": "t5",
        "name": name,
        "version": "adapters.1.3.0",
    }
    return content, tensors


def _adapterhub_config(method: Adapter) -> dict[str, Any]:
    if method.layers is not None or method.stacks != ("encoder", "decoder"):
        raise UserError("AdapterHub's T5 adapters are in all blocks of both stacks; this one is not")
    is_phm = isinstance(method, Compacter)
    if type(method) not in (Adapter, Compacter) or (isinstance(method, Compacter) and method.shared_factors):
        raise UserError("AdapterHub has no such adapter; expected Adapter, or Compacter without shared_factors")
    non_linearity = next(theirs for theirs, ours in NON_LINEARITIES.items() if ours == method.non_linearity)
    config: dict[str, Any] = {option: value for option, (value, _) in REQUIRED.items()}
    config |= {theirs: ours in method.sublayers for theirs, ours in SUBLAYERS.items()}
    config |= {"non_linearity": non_linearity, "reduction_factor": method.reduction_factor, "phm_layer": is_phm}
    if isinstance(method, Compacter):
        config |= {
            "phm_dim": method.phm_dim,
            "phm_rank": method.phm_rank or 1,
            "factorized_phm_W": method.phm_rank is not None,
            "shared_phm_rule": method.shared_phm_rule,
            "factorized_phm_rule": method.factorized_phm_rule,
            "learn_phm": method.learn_phm_rule,
            "hypercomplex_nonlinearity": "glorot-uniform",
            "phm_c_init": "normal",
            "phm_init_range": 0.0001,
        }
    return config
