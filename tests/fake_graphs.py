"""CUDA graphs without a GPU: operations that PyTorch ran on the CPU are written down, and run again at each replay.

As with a driver, what is captured has run for nobody: its results hold NaN until a replay.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class _Tape(TorchDispatchMode):
    """Writes down every operation with what it read and gave."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, given))
        return given


@dataclass
class TapeGraph:
    """The operations of one capture. `replays`: how often they ran since; `on_replay` takes their number each time."""

    operations: list[Any] = field(default_factory=list)
    memory: object = field(default_factory=object)
    replays: int = 0
    on_replay: Callable[[int], object] = lambda operations: None

    def replay(self) -> None:
        self.replays += 1
        self.on_replay(len(self.operations))
        for func, args, kwargs, given in self.operations:
            again = func(*args, **kwargs)
            for target, source in zip(_tensors(given), _tensors(again), strict=True):
                if target.data_ptr() != source.data_ptr():
                    target.data.copy_(source)

    def pool(self) -> object:
        return self.memory

    @contextmanager
    def recording(self, *, pool: object = None) -> Iterator[None]:
        """Capture what is done inside, into the memory of another graph where that is given."""
        self.memory = self.memory if pool is None else pool
        with _Tape() as tape:
            yield
        self.operations = tape.operations
        read = {tensor.untyped_storage().data_ptr() for tensor in _read_from_outside(tape.operations)}
        for _, _, _, given in tape.operations:
            for tensor in _tensors(given):
                if tensor.is_floating_point() and tensor.untyped_storage().data_ptr() not in read:
                    tensor.data.fill_(float("nan"))


@dataclass
class TapeCapturer:
    """`refuses`: the numbers of the captures that fail, from 0. `warmed`: how often a call was warmed up."""

    refuses: frozenset[int] = frozenset()
    warmed: int = 0
    graphs: list[TapeGraph] = field(default_factory=list)
    asked: int = 0

    def warm_up(self, call) -> None:
        self.warmed += 1
        call()

    def capture(self, call, *, beside=None) -> TapeGraph:
        self.asked += 1
        if self.asked - 1 in self.refuses:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.graphs.append(TapeGraph())
        with self.graphs[-1].recording(pool=beside and beside.pool()):
            call()
        return self.graphs[-1]


def pretend_graphs(monkeypatch, *, on_replay=lambda operations: None) -> SimpleNamespace:
    """Let `torch.cuda` capture onto tapes until the test ends; gives the `graphs` made and the `log` of streams."""
    made = SimpleNamespace(graphs=[], log=[])

    class Stream:
        def __init__(self, device=None):
            self.name = "side"

        def wait_stream(self, other):
            made.log.append(f"{self.name} waits for {other.name}")

    main = Stream()
    main.name = "main"
    current = [main]

    @contextmanager
    def stream(chosen):
        current.append(chosen)
        made.log.append(f"on {chosen.name}")
        yield
        current.pop()

    def graph_of():
        made.graphs.append(TapeGraph(on_replay=on_replay))
        return made.graphs[-1]

    @contextmanager
    def graph(chosen, pool=None):
        made.log.append("capture")
        with chosen.recording(pool=pool):
            yield

    for name, stand_in in {
        "Stream": Stream,
        "stream": stream,
        "current_stream": lambda device=None: current[-1],
        "CUDAGraph": graph_of,
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return made


def _read_from_outside(operations):
    """What the operations find: inputs, parameters, what another graph gave."""
    written = set()
    for _, args, kwargs, given in operations:
        for tensor in _tensors((args, tuple(kwargs.values()))):
            if tensor.untyped_storage().data_ptr() not in written:
                yield tensor
        written |= {tensor.untyped_storage().data_ptr() for tensor in _tensors(given)}


def _tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
