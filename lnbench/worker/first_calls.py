"""The first calls of a case: made to their end, timed apart from building it, and what they and the build tell."""

from dataclasses import dataclass

from lnbench.events import OWN_DY, Built
from lnbench.implementations.contract import Prepared
from lnbench.implementations.torch_compiling import Compiling
from lnbench.planned import Notice

_ONE_PIECE = (
    "forward_backward is one function, compiled as a whole and timed for itself; forward and backward are called apart "
    "and need not add up to it"
)
_OVERWRITES = (
    "each call writes its results over those of the call before, as CUDA graphs do: a network that keeps one copies "
    "it, which these times leave out"
)
_OWN_DY = (
    "its backward writes into dy: each call gets a copy of dy; making the copies is not in its times, but in its cpu_s"
)
_GRAPH_BREAK = "torch.compile broke the graph into parts; fullgraph=True names the operation that does it"


@dataclass(frozen=True, slots=True)
class FirstCalls:
    """How long building and the first calls took, and what was compiled meanwhile, by torch.compile or otherwise."""

    prepared: Prepared
    compiling: Compiling
    build_s: float
    first_call_s: float

    @property
    def compiling_s(self) -> float:
        """The seconds that are put down to compiling: all of them, where something was compiled."""
        has_compiled = self.compiling.graphs > 0 or self.prepared.compiles
        return self.build_s + self.first_call_s if has_compiled else 0.0

    def event(self, *, process: int, case: int) -> Built:
        """What the journal keeps. Frameworks that compile without a cache on disk always compile anew."""
        by_torch = self.compiling.graphs > 0
        anew = True if self.prepared.compiles else None
        return Built(
            process=process,
            case=case,
            build_s=self.build_s,
            first_call_s=self.first_call_s,
            compiled_cold=self.compiling.cache_misses > 0 if by_torch else anew,
            graphs=self.compiling.graphs if by_torch else None,
            graph_breaks=self.compiling.graph_breaks if by_torch else None,
            recompilations=self.compiling.recompilations if by_torch else None,
            no_step=self.prepared.no_step,
        )

    def notices(self) -> list[Notice]:
        """What the reader of the case's rows has to know of how it is called."""
        found = []
        if self.prepared.copies:
            text = (
                f"reads {', '.join(self.prepared.copies)} from memory of its own, with equal values; where memory lies "
                "is worth about a percent"
            )
            found.append(Notice(code="own-buffers", text=text))
        if self.prepared.renew_dy is not None:
            found.append(Notice(code=OWN_DY, text=_OWN_DY))
        if self.prepared.forward_backward is not None:
            found.append(Notice(code="one-piece", text=_ONE_PIECE))
        if self.prepared.overwrites_results:
            found.append(Notice(code="overwrites-results", text=_OVERWRITES))
        if self.prepared.remark:
            found.append(Notice(code="remark", text=self.prepared.remark))
        if self.compiling.graph_breaks:
            found.append(Notice(code="graph-break", text=_GRAPH_BREAK))
        return found


def call_once(prepared: Prepared) -> None:
    """One inference and one step, also in one piece, to their end.

    Raises WrongResultError where a result that is none made them fail.
    """
    try:
        with prepared.without_gradients():
            prepared.inference()
        if not prepared.no_step:
            prepared.backward(prepared.forward())
            if prepared.renew_dy is not None:
                prepared.renew_dy()
        if prepared.forward_backward is not None:
            prepared.forward_backward()
        prepared.wait()
    except Exception:
        prepared.outputs()  # says in plain words what PyTorch says in its own
        raise
