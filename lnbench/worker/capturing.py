"""Captures the cases of a workload into CUDA graphs, and compares their replays with the float64 reference result."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Literal

from lnbench.errors import Unsupported
from lnbench.events import L2_HOT, Verified
from lnbench.implementations.contract import WrongResultError
from lnbench.implementations.oracle import expected_names, oracle
from lnbench.implementations.torch_adapter import is_out_of_memory
from lnbench.implementations.torch_arrays import UPSTREAM, TorchArrays
from lnbench.measure.graphs import Capturer
from lnbench.planned import Stage, Status
from lnbench.units import format_bytes
from lnbench.worker.calls import Kind, kinds_for
from lnbench.worker.captured import Captured
from lnbench.worker.cases import Cases, LiveCase, SpoiledProcessError, describe
from lnbench.worker.deviations import judge
from lnbench.worker.graph_sizes import GraphSize, graph_size
from lnbench.worker.verify import explain
from lnbench.workload import Phase

OWN_GRAPHS_REASON = (
    "a call overwrites the results of the one before, as replays of CUDA graphs of its own do, which can't be captured"
)
WRITES_DY_REASON = "its backward writes into dy, and the next call in the graph would read what it wrote"
OFF_STREAM_REASON = "its work is on a stream of its own framework, which PyTorch can't capture"


def capture_all(
    cases: Cases,
    capturer: Capturer,
    *,
    phases: Collection[Phase],
    l2_b: int,
    launches: Mapping[int, float],
) -> None:
    """Put in the place of each live case its replays; one that can't be captured ends, with the reason.

    `launches`: how many kernels a call of each case launches, by its number, where that is known.
    Raises SpoiledProcessError after a capture that failed: it may have left stream, pool or device unusable.
    """
    for number, case in list(cases.live.items()):
        refusal = _refusal(case, phases)
        if refusal:
            cases.end(number, Status.UNSUPPORTED, Stage.CAPTURE, refusal)
            continue
        size = graph_size(case.workload, l2_b=l2_b, nodes=launches.get(number))
        with cases.attempt(number, Stage.CAPTURE):
            cases.live[number] = replace(case, prepared=_captured(case, capturer, size=size, phases=phases))
        if number in cases.ended:
            raise SpoiledProcessError(f"the capture of {case.planned.title} failed")
        if size.is_l2_hot:
            cases.notice(number, L2_HOT, _l2_hot_text(case, size, l2_b=l2_b))


def check_replays(cases: Cases, moment: Literal["before", "after"]) -> None:
    """Replay every case on fresh values in the same memory, and end those whose results are wrong."""
    cases.arrays.refill(cases.seed + (1 if moment == "before" else 2))
    for number, case in list(cases.live.items()):
        with cases.attempt(number, Stage.VERIFY):
            cases.report(_verified(cases, number, case, moment))


class FreshGradients:
    """Copies one of two upstream gradients in turn into the memory that every captured backward reads."""

    def __init__(self, arrays: TorchArrays) -> None:
        named = zip(arrays.buffer_names(), arrays.all_buffers(), strict=True)
        self._buffers = [memory for name, memory in named if name in UPSTREAM.values()]
        drawn = [buffer.clone() for buffer in self._buffers]
        self._sources = cycle([drawn, [-values for values in drawn]])

    def __call__(self) -> None:
        for buffer, values in zip(self._buffers, next(self._sources), strict=True):
            buffer.data.copy_(values)


def _refusal(case: LiveCase, phases: Collection[Phase]) -> str:
    """Why a case is not captured at all; "" where it is tried."""
    if not case.prepared.on_torch_stream:
        return OFF_STREAM_REASON
    if case.prepared.overwrites_results:
        return OWN_GRAPHS_REASON
    return WRITES_DY_REASON if Kind.STEP in _kinds(case, phases) and case.prepared.renew_dy is not None else ""


def _kinds(case: LiveCase, phases: Collection[Phase]) -> tuple[Kind, ...]:
    """The kinds of call to capture; a step in one piece is captured as its parts, which a graph times apart."""
    kinds = kinds_for(phases, case.prepared, on_cuda=True)
    return tuple(dict.fromkeys(Kind.STEP if kind is Kind.ONE_PIECE else kind for kind in kinds))


def _captured(case: LiveCase, capturer: Capturer, *, size: GraphSize, phases: Collection[Phase]) -> Captured:
    try:
        return Captured(case, capturer, size=size, kinds=_kinds(case, phases))
    # Whatever a capture raises is why it is refused: a synchronization, an allocation, a kernel on another stream.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise Unsupported(f"it can't be captured into a CUDA graph: {describe(error)}") from error


def _verified(cases: Cases, number: int, case: LiveCase, moment: Literal["before", "after"]) -> Verified:
    """How far the checked calls of a replay are off. Raises WrongResultError for one that is outside its tolerance."""
    captured = case.prepared
    assert isinstance(captured, Captured)
    captured.refresh()
    captured.outputs()
    relative: dict[str, float] = {}
    share: dict[str, float] = {}
    for call in captured.checked_calls:
        results = captured.results(call)
        pair = captured.pair_of(call)
        names = ("x", "dy", *(("residual", "dnew_residual") if case.function.has_residual else ()))
        read = {name: cases.arrays.of(name)[pair] for name in names}
        judgement = judge(
            results,
            oracle(case.function, case.workload, replace(captured.inputs(), **read)),
            names=[name for name in expected_names(case.function, case.workload) if _is_given(name, results)],
            dtype=case.workload.dtype,
        )
        if not judgement.is_right:
            raise WrongResultError(f"replayed from a CUDA graph, {explain(judgement, case.function, case.workload)}")
        for found, values in ((relative, judgement.relative), (share, judgement.share)):
            found |= {name: max(value, found.get(name, 0.0)) for name, value in values.items()}
    return Verified(
        process=cases.process, case=number, moment=moment, max_relative_error=relative, share_of_tolerance=share
    )


def _is_given(name: str, results: Mapping[str, object]) -> bool:
    """True where some phase that was captured gives this tensor."""
    return name in results or f"inference_{name}" in results


def _l2_hot_text(case: LiveCase, size: GraphSize, *, l2_b: int) -> str:
    held_b = size.calls * case.workload.x_bytes
    return (
        f"L2 hot: the inputs of the {size.calls} calls that a graph holds take {format_bytes(held_b)}, and L2 has "
        f"{format_bytes(l2_b)}; the device clock displaces it before each call"
    )
