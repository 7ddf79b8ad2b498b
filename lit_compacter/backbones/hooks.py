"""Hooks that a method registers, recorded so that they can be removed and registered again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch.utils.hooks import RemovableHandle

_recorded: ContextVar["list[Hook] | None"] = ContextVar("_recorded", default=None)


class Hook:
    """A hook on a module of the backbone.

    Args:
        register: Registers it, such as `partial(module.register_forward_hook, function)`.
    """

    def __init__(self, register: Callable[[], RemovableHandle]) -> None:
        self.register = register
        self.handle = register()

    def enable(self) -> None:
        """Register the hook again."""
        self.handle = self.register()

    def disable(self) -> None:
        self.handle.remove()


def add_hook(register: Callable[[], RemovableHandle]) -> None:
    """Register a hook of a method. Methods use this instead of `register_forward_hook` and the like."""
    hook = Hook(register)
    recorded = _recorded.get()
    if recorded is not None:
        recorded.append(hook)


@contextmanager
def record_hooks() -> Iterator[list[Hook]]:
    """Collect the hooks that are added within the context."""
    hooks: list[Hook] = []
    token = _recorded.set(hooks)
    try:
        yield hooks
    finally:
        _recorded.reset(token)
