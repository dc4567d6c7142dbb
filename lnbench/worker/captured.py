"""A case whose calls are replays of CUDA graphs: inference, forward, and a backward that reads what forward saved."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor

from lnbench.functions import gradient_names
from lnbench.implementations.contract import Prepared, WrongResultError
from lnbench.measure.graphs import Capturer, Graph
from lnbench.measure.sampler import Copies
from lnbench.worker.calls import Kind
from lnbench.worker.cases import LiveCase
from lnbench.worker.graph_sizes import GraphSize


class Captured:
    """Stands in the place of a case's `Prepared` while the graph clock's rounds are taken.

    Each graph holds `calls_per_replay` calls, which go round the pairs of x and dy. Forward and backward are captured
    apart and share a memory pool; every result of forward stays alive, and with it what it saved until the backward was
    captured. What that frees is taken again by its own graph alone, which is always replayed after forward.
    """

    repeats: bool | None = None
    forward_backward: Callable[[], object] | None = None
    on_torch_stream = True
    compiles = False
    overwrites_results = False
    remark = ""
    renew_dy: Callable[[], object] | None = None

    def __init__(self, case: LiveCase, capturer: Capturer, *, size: GraphSize, kinds: tuple[Kind, ...]) -> None:
        """Warm up and capture; raises whatever the case or the driver raises where it can't be captured."""
        self._case = case
        self._prepared: Prepared = case.prepared
        self._size = size
        self._results: dict[str, list[Any]] = {"inference": [], "forward": [], "backward": []}
        self._graphs: dict[str, Graph] = {}
        self.no_step = case.prepared.no_step
        self.copies = case.prepared.copies
        self.calls_per_replay = size.calls
        if Kind.INFERENCE in kinds:
            with self._prepared.without_gradients():
                capturer.warm_up(self._call_inference)
                self._forget()
                self._graphs["inference"] = capturer.capture(self._call_inference)
        if Kind.STEP in kinds:
            capturer.warm_up(self._call_step)
            self._forget()
            forward = capturer.capture(self._call_forward)
            self._graphs |= {
                "forward": forward,
                "backward": capturer.capture(self._call_backward, beside=forward),
            }
        self._prepared.select(0)

    def inference(self) -> None:
        self._graphs["inference"].replay()

    def forward(self) -> None:
        self._graphs["forward"].replay()

    def backward(self, saved: object) -> None:
        del saved  # it lies where forward's graph left it
        self._graphs["backward"].replay()

    @property
    def checked_calls(self) -> tuple[int, ...]:
        """The calls of a replay whose results can be checked: the first and the last, where all are kept."""
        last = self._size.calls - 1
        return (0, last) if self._size.keeps_results and last else (last,)

    def pair_of(self, call: int) -> int:
        """The pair of x and dy that a call of a replay reads."""
        return call % self._size.pairs

    def results(self, call: int) -> dict[str, Tensor]:
        """What a call of the last replay gave, by name, as `Prepared.outputs` names it.

        Raises WrongResultError where inference or backward gives no tensors, which nothing could be compared with.
        """
        function, workload = self._case.function, self._case.workload
        gradients = gradient_names(function, workload)
        names = {
            "inference": tuple(f"inference_{name}" for name in function.outputs),
            "forward": function.outputs,
            "backward": gradients,
        }
        found: dict[str, Tensor] = {}
        for kind in self._graphs:
            kept = self._results[kind]
            tensors = _named(kept[call] if len(kept) == self._size.calls else kept[-1], names[kind])
            if not tensors and kind != "forward":  # of a framework's forward only its backward knows what it gives
                raise WrongResultError(f"a replay of {kind} gives nothing that can be checked")
            found |= tensors
        return found

    def without_gradients(self) -> AbstractContextManager[None]:
        return nullcontext()

    def select(self, index: int) -> None:
        """Change nothing: the pairs were chosen when the graphs were captured."""

    def refresh(self) -> None:
        self._prepared.refresh()

    def inputs(self) -> Any:
        return self._prepared.inputs()

    def wait(self) -> None:
        self._prepared.wait()

    def outputs(self) -> Mapping[str, Tensor]:
        """What the first checked call gives in a fresh replay of every graph."""
        for graph in self._graphs.values():
            graph.replay()
        self.wait()
        return self.results(self.checked_calls[0])

    def saved_bytes(self) -> None:
        """Not asked of a graph."""

    @contextmanager
    def steady(self) -> Iterator[None]:
        yield

    def compilations(self) -> int:
        return 0

    def close(self) -> None:
        self._graphs.clear()
        self._results.clear()
        self._prepared.close()

    def _forget(self) -> None:
        """Release what was computed to warm up, and not while capturing; what was captured stays."""
        for kind, results in self._results.items():
            if kind not in self._graphs:
                results.clear()

    def _call_inference(self) -> None:
        self._call_all("inference", lambda _: self._prepared.inference(), keeps_all=self._size.keeps_results)

    def _call_step(self) -> None:
        self._call_forward()
        self._call_backward()

    def _call_forward(self) -> None:
        self._call_all("forward", lambda _: self._prepared.forward(), keeps_all=True)

    def _call_backward(self) -> None:
        saved = self._results["forward"]
        self._call_all(
            "backward", lambda call: self._prepared.backward(saved[call]), keeps_all=self._size.keeps_results
        )

    def _call_all(self, kind: str, make: Callable[[int], Any], *, keeps_all: bool) -> None:
        """The calls of a graph, one after the other, each on its pair."""
        results = self._results[kind]
        results.clear()
        for call in range(self._size.calls):
            if not keeps_all:
                results.clear()  # the next call writes its results where this one's were, as hot calls in a row do
            self._prepared.select(self.pair_of(call))
            results.append(make(call))


class CapturedCopies:
    """The probe's copies as replays of graphs, each of which goes round the pairs that the cases read."""

    def __init__(self, copies: Copies, capturer: Capturer, *, size: GraphSize) -> None:
        self.calls_per_replay = size.calls
        self.pieces: dict[str, Callable[[], Any]] = {}
        for name in copies.pieces:

            def call_all(name: str = name) -> None:
                for call in range(size.calls):
                    copies.select(call % size.pairs)
                    copies.pieces[name]()

            capturer.warm_up(call_all)
            self.pieces[name] = capturer.capture(call_all).replay

    def select(self, index: int) -> None:
        """Change nothing: the pairs were chosen when the graphs were captured."""


def _named(result: Any, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Tensors by their names; none where a framework's case gives something else."""
    given = tuple(result) if isinstance(result, tuple | list) else (result,)
    if len(given) != len(names) or not all(isinstance(it, Tensor) for it in given):
        return {}
    return {name: tensor.detach() for name, tensor in zip(names, given, strict=True)}
