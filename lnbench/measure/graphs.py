"""CUDA graphs: calls recorded once and replayed as a whole, without the host's launches between their kernels.

Sources: PyTorch, "CUDA Graphs" (warm up on a side stream before capture); `torch.cuda.make_graphed_callables` (a
backward is captured apart from its forward, in the same memory pool, and always replayed after it).
"""

from collections.abc import Callable
from typing import Any, Protocol

WARM_UPS = 3
"""Calls on a side stream before capture: libraries choose algorithms and allocate workspaces in their first ones."""


class Graph(Protocol):
    """A recorded sequence of kernels."""

    def replay(self) -> None:
        """Enqueue all of it on the current stream."""

    def pool(self) -> Any:
        """The memory that its results lie in."""


class Capturer(Protocol):
    """What records calls into graphs. A fake one drives the tests."""

    def warm_up(self, call: Callable[[], object]) -> None:
        """Make the call a few times on a side stream, and wait for it."""

    def capture(self, call: Callable[[], object], *, beside: Graph | None = None) -> Graph:
        """Record what a call enqueues; nothing of it runs until the first replay.

        `beside`: a graph that it is always replayed after, whose memory pool it shares.
        Raises whatever the call or the driver raises where it can't be recorded.
        """


class TorchCapturer:
    """Captures on PyTorch's streams of a CUDA device."""

    def __init__(self, device: str) -> None:
        import torch

        self._cuda = torch.cuda
        self._side = torch.cuda.Stream(torch.device(device))  # type: ignore[no-untyped-call]

    def warm_up(self, call: Callable[[], object]) -> None:
        cuda = self._cuda
        self._side.wait_stream(cuda.current_stream())
        with cuda.stream(self._side):
            for _ in range(WARM_UPS):
                call()
        cuda.current_stream().wait_stream(self._side)
        cuda.synchronize()

    def capture(self, call: Callable[[], object], *, beside: Graph | None = None) -> Graph:
        graph, failure = self._cuda.CUDAGraph(), None
        try:
            with self._cuda.graph(graph, pool=None if beside is None else beside.pool()):
                try:
                    call()
                except Exception as error:
                    failure = error
                    raise
        except Exception as error:
            # Ending a capture that has failed raises an error of its own, which says nothing of the first.
            if failure is not None and error is not failure:
                raise failure from error
            raise
        return graph


def l2_bytes(device: str) -> int:
    """The size of a CUDA device's L2 cache."""
    import torch

    return int(torch.cuda.get_device_properties(device).L2_cache_size)
