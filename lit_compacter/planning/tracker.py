"""Count the bytes of all tensors that live."""

import weakref
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, UntypedStorage

from lit_compacter.compat import OperationHook


@dataclass(frozen=True)
class Segment:
    """A part of a step, in bytes above what lived at its beginning.

    Attributes:
        label: What begins with it.
        rise: The peak.
        change: What lives at its end.
    """

    label: Hashable
    rise: int
    change: int


class MemoryTracker(OperationHook):
    """Counts the bytes of all tensors that are made while it is active, views once, as an allocator would.

    Attributes:
        live: Bytes of the tensors that live.
        segments: What was marked.

    Args:
        known: Tensors that live already, and are not counted.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._known: dict[int, weakref.ref[UntypedStorage]] = {}  # by identity
        self.live = self.peak = 0
        for tensor in known:
            self.add(tensor.untyped_storage())
        self.segments: list[Segment] = []
        self.live = 0
        self._begin("start")

    def after(self, result: Any) -> None:
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.add(tensor.untyped_storage())

    def add(self, storage: UntypedStorage) -> None:
        """Count a storage until it is freed."""
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return

        def forget(_: Any) -> None:
            del self._known[key]
            self.live -= size

        self._known[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)

    def mark(self, label: Hashable) -> None:
        """End a segment, and begin one."""
        self.segments.append(Segment(self._label, self.peak - self._start, self.live - self._start))
        self._begin(label)

    def _begin(self, label: Hashable) -> None:
        self._label, self._start, self.peak = label, self.live, self.live


def peak_of(segments: Iterable[Segment], times: Mapping[Hashable, int], live: int = 0) -> tuple[int, int]:
    """The peak of segments, some of which are repeated, and what lives at their end.

    Args:
        segments: In their order.
        times: Label → how often its segment comes in a row. Default: once.
        live: Bytes that live at the beginning.
    """
    peak = live
    for segment in segments:
        last = live + (times.get(segment.label, 1) - 1) * segment.change  # at the beginning of the last one
        peak = max(peak, live + segment.rise, last + segment.rise)
        live = last + segment.change
    return peak, live
