"""The named adapters of a model, of which one is active."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.injection import Injection
from lit_compacter.adapters.rows import apply_per_row
from lit_compacter.backbones.loading import SUPPORTED, fingerprint
from lit_compacter.checkpoints.compatibility import check_shapes
from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.methods import METHODS, FullFineTuning, make_method, name_of, plain_options

ATTRIBUTE = "lit_compacter_adapters"  # of a model that has adapters


@dataclass
class NamedAdapter:
    """An adapter of a model.

    Attributes:
        config: What it is.
        injection: The changes of the model that it needs.
        values: All its numbers, one tensor after the other, if it is not trained: `injection` is shared with other
            adapters of the same method. In one piece, because hundreds of small tensors need much more memory than
            their numbers. None if it is trained: the parameters in `injection` are its own.
    """

    config: AdapterConfig
    injection: Injection
    values: Tensor | None


class AdapterManager:
    """The adapters of one model. The tensors of the active one are in the model.

    Args:
        model: A stock model.
    """

    def __init__(self, model: T5ForConditionalGeneration) -> None:
        self.model = model
        self.backbone = fingerprint(model)
        self.adapters: dict[str, NamedAdapter] = {}
        self.enabled: Injection | None = None
        self.active: str | None = None
        self.is_mixed = False  # within `mixed`, where no adapter is the active one

    @classmethod
    def of(cls, model: T5ForConditionalGeneration) -> "AdapterManager":
        """The manager of a model, a new one if it has no adapters."""
        manager = getattr(model, ATTRIBUTE, None)
        if isinstance(manager, cls):
            return manager
        if not isinstance(model, T5ForConditionalGeneration) and model.config.model_type not in SUPPORTED:
            raise UserError(f"adapters are for T5 models, {', '.join(SUPPORTED)}; found {type(model).__name__}")
        if model.dtype == torch.float16:
            raise UserError("T5 overflows in float16; load it with dtype=torch.bfloat16 or torch.float32")
        return cls(model)

    @property
    def active_name(self) -> str:
        """The name of the active adapter. Raises UserError if there is none."""
        if self.active is None:
            names = f"name one of {', '.join(map(repr, self.adapters))}" if self.adapters else "the model has none"
            raise UserError(f"no adapter is active; {names}")
        return self.active

    def __getitem__(self, name: str) -> NamedAdapter:
        if name not in self.adapters:
            known = ", ".join(map(repr, self.adapters)) or "no adapters"
            raise UserError(f"no adapter {name!r}; the model has {known}{did_you_mean(name, self.adapters)}")
        return self.adapters[name]

    def add(
        self, name: str, config: AdapterConfig, state: Mapping[str, Tensor] | None = None, is_trainable: bool = True
    ) -> None:
        """Add an adapter and make it active.

        Args:
            name: A new name.
            config: What it is.
            state: Its tensors. Default: new ones, as the method draws them.
            is_trainable: Whether it is trained.

        Raises:
            UserError: The name is taken, or the adapter does not fit the model, which is then as before.
        """
        if name in self.adapters:
            raise UserError(f"the model already has an adapter {name!r}; give another name, or delete that one first")
        if isinstance(config.method, FullFineTuning):
            raise UserError("FullFineTuning changes the whole model and is no adapter; use model.save_pretrained")
        method = config.method
        if name_of(type(method)) in METHODS:  # a copy, with tuples where the user has given lists
            method = make_method(name_of(type(method)), plain_options(dataclasses.asdict(method)))  # type: ignore[call-overload]
        config = dataclasses.replace(config, method=method)
        previous = self.active
        self.activate(None)
        try:
            self._add(name, config, state, is_trainable)
        except BaseException:
            self.activate(previous)
            raise
        setattr(self.model, ATTRIBUTE, self)
        self.activate(name)

    def _add(self, name: str, config: AdapterConfig, state: Mapping[str, Tensor] | None, is_trainable: bool) -> None:
        same = (one.injection for one in self.adapters.values() if one.values is not None)
        injection = None if is_trainable else next((one for one in same if one.method == config.method), None)
        if injection is None:
            injection = Injection(self.model, config.method)
            injection.disable()
        if state is not None:
            check_shapes("adapter", state, injection.tensors)
        if is_trainable:
            injection.load(state or {})
            self.adapters[name] = NamedAdapter(config, injection, values=None)
            return
        for tensor in injection.tensors.values():
            tensor.requires_grad_(False)
        self.adapters[name] = NamedAdapter(config, injection, injection.flatten(state or injection.tensors))

    def activate(self, name: str | None) -> None:
        """Make an adapter active; None for the stock model."""
        if self.is_mixed:
            raise UserError("adapters cannot be changed within use_adapters; leave the context first")
        adapter = None if name is None else self[name]
        injection = adapter.injection if adapter else None
        if injection is not self.enabled:
            if self.enabled is not None:
                self.enabled.disable()
            if injection is not None:
                injection.enable()
            self.enabled = injection
        if adapter is not None and adapter.values is not None:
            adapter.values = adapter.injection.point_to(adapter.values)
        self.active = name

    def delete(self, name: str) -> None:
        """Delete an adapter. If it was active, the stock model is active."""
        self[name]
        self.activate(None if self.active == name else self.active)
        del self.adapters[name]
        if not self.adapters:
            delattr(self.model, ATTRIBUTE)

    def state(self, name: str) -> dict[str, Tensor]:
        """Copies of an adapter's tensors by name, on the CPU."""
        adapter = self[name]
        found = adapter.injection.tensors if adapter.values is None else adapter.injection.unflatten(adapter.values)
        return {key: tensor.detach().cpu().clone() for key, tensor in found.items()}

    @contextmanager
    def temporarily(self, name: str | None) -> Iterator[None]:
        """Make an adapter, or the stock model, active within the context."""
        previous = self.active
        self.activate(name)
        try:
            yield
        finally:
            self.activate(previous if previous in self.adapters else None)

    @contextmanager
    def mixed(self, names: Sequence[str]) -> Iterator[None]:
        """Give each row of a batch an adapter of its own within the context.

        Args:
            names: An adapter for each row.

        Raises:
            UserError: There is no such adapter, or their methods are not the same adapter family with the same options.
        """
        if not names or isinstance(names, str):
            raise UserError(f"use_adapters was given {names!r}; expected a list with a name for each row of the batch")
        number = {name: index for index, name in enumerate(dict.fromkeys(names))}
        adapters = [self[name] for name in number]
        first = adapters[0]
        if other := next((one for one in adapters if one.config.method != first.config.method), None):
            raise UserError(
                f"the rows of a batch need one method with the same options; found {first.config.method} and "
                f"{other.config.method}"
            )
        with self.temporarily(names[0]):
            like = next(iter(first.injection.tensors.values()))
            values = torch.stack(
                [
                    (one.injection.flatten(one.injection.tensors) if one.values is None else one.values).to(like)
                    for one in adapters
                ]
            )
            index = torch.tensor([number[name] for name in names], device=values.device)
            with apply_per_row(first.injection, values, index):
                self.is_mixed = True
                try:
                    yield
                finally:
                    self.is_mixed = False
