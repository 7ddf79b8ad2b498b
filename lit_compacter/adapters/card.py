"""The model card of an adapter: README.md with the hub's metadata."""

from collections.abc import Mapping

from huggingface_hub import EvalResult, ModelCardData
from torch import Tensor

from lit_compacter.adapters.config import LIBRARY, AdapterConfig
from lit_compacter.methods import name_of
from lit_compacter.utils.run_files import CURVE

TEMPLATE = """---
{metadata}
---

# {title}

An adapter of {count:,} parameters, trained with lit-compacter by the method {method}. It does not contain the backbone.

## Use

```python
from lit_compacter import load_adapter
from transformers import AutoModelForSeq2SeqLM

model = AutoModelForSeq2SeqLM.from_pretrained("{base_model}"{revision})
load_adapter(model, "{place}")
```
{results}{curve}"""


def model_card(config: AdapterConfig, state: Mapping[str, Tensor], place: str, has_curve: bool) -> str:
    """The text of the card.

    Args:
        config: What the adapter is.
        state: Its tensors.
        place: Where it can be loaded from: a name on the hub, or a folder.
        has_curve: Whether the learning curve lies beside it.
    """
    method = name_of(type(config.method))
    task = f" on {config.task}" if config.task else ""
    rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in config.metrics.items())
    base_model = config.base_model or "google-t5/t5-base"
    return TEMPLATE.format(
        metadata=_metadata(config, place).to_yaml(),
        title=f"{method} for {base_model}{task}",
        count=sum(tensor.numel() for tensor in state.values()),
        method=method,
        base_model=base_model,
        revision=f', revision="{config.base_model_revision}"' if config.base_model_revision else "",
        place=place,
        results=f"\n## Results\n\n| metric | value |\n| --- | --- |\n{rows}" if rows else "",
        curve=f"\n![learning curve]({CURVE})\n" if has_curve else "",
    )


def _metadata(config: AdapterConfig, place: str) -> ModelCardData:
    results = [
        EvalResult(
            task_type="text2text-generation",
            dataset_type=config.dataset or "text2text",
            dataset_name=config.task or "text2text",
            dataset_config=config.dataset_config,
            dataset_revision=config.data_revision,
            dataset_split="test" if name.startswith("test/") else "validation",
            metric_type=name.partition("/")[2],
            metric_value=value,
        )
        for name, value in config.metrics.items()
        if name.startswith(("test/", "val/")) and name.partition("/")[2] != "invalid"
    ]
    return ModelCardData(
        base_model=config.base_model,
        library_name=LIBRARY,
        datasets=[config.dataset] if config.dataset else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=place.rpartition("/")[2] if results else None,
        eval_results=results or None,
        tags=["adapter", "t5", name_of(type(config.method)).lower()],
    )
