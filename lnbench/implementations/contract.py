"""What an implementation is, for those who write one and for the worker that measures it.

A builder takes a workload, untimed, and gives a callable or an `nn.Module`. The worker knows only `Prepared`, which a
framework's adapter makes of it.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from lnbench.errors import PluginError, nearest
from lnbench.functions import FUNCTIONS

MOST_NAME = 64
"""Characters of a name: as many as a suite may write."""

MOST_SUMMARY = 200
MOST_REMARK = 400
MOST_REGISTRATIONS = 10_000
"""Of one file; a table of more is read by nobody."""

OTHER_FUNCTIONS = "README, Other norms: how to measure Gemma's (1 + weight), gated norms and norms over channels"
"""For a function name that is not known."""

Builder = TypeVar("Builder", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Registration:
    """A named implementation. `options`: what its builder takes beside the workload, with the defaults.

    `writes_dy`: its backward writes into dy, so that each call needs a dy of its own. `norm_axes`: its builder reads
    `workload.norm_axes`, and so normalizes other axes than the last ones too.
    """

    name: str
    function: str
    summary: str
    build: Callable[..., Any]
    options: Mapping[str, object]
    writes_dy: bool = False
    norm_axes: bool = False

    @property
    def takes_arrays(self) -> bool:
        """True when the builder is of the fuller contract, `prepare(workload, arrays)`."""
        return takes_arrays(self.build)


class WrongResultError(Exception):
    """An implementation's result is not what its function computes; the text says in what."""


class Prepared(Protocol):
    """A built case, ready to be called. `wait` returns when all work that was asked for is done.

    `repeats`: two backward runs on the same inputs, in the last `outputs()`, agreed to the bit; None where unknown.
    `no_step`: why there is an inference alone; "" where there are gradients. `forward_backward`: a whole step as one
    function, which is then timed for itself; None where a step is its parts. `on_torch_stream`: on a GPU, its work goes
    to PyTorch's current stream, whose events time it. `copies`: the inputs that it holds in buffers of its own.
    `compiles`: its first calls compile, though not by torch.compile. `overwrites_results`: a call writes its results
    where those of the call before lie, so whoever keeps one copies it first. `remark`: what a reader of its rows has to
    know; "" where that is nothing. `renew_dy`: to be called after each backward, outside of what is timed, because
    backward has written into its own copy of dy; None where dy is only read.
    """

    repeats: bool | None
    no_step: str
    forward_backward: Callable[[], object] | None
    on_torch_stream: bool
    copies: tuple[str, ...]
    compiles: bool
    overwrites_results: bool
    remark: str
    renew_dy: Callable[[], object] | None

    def inference(self) -> object:
        """Compute the outputs; called inside `without_gradients`."""

    def forward(self) -> object:
        """Compute the outputs and keep what `backward` needs; gives what `backward` takes."""

    def backward(self, saved: Any) -> object:
        """Compute all gradients from what `forward` gave."""

    def without_gradients(self) -> AbstractContextManager[None]:
        """The context in which `inference` is called and keeps nothing for a gradient."""

    def select(self, index: int) -> None:
        """Read from the pair of x and dy with this number from now on."""

    def refresh(self) -> None:
        """Take over values that have changed in the shared buffers, where it holds copies."""

    def inputs(self) -> Any:
        """What the case reads now, for the oracle."""

    def wait(self) -> None:
        """Return when the device has finished."""

    def outputs(self) -> Mapping[str, Any]:
        """Every output and gradient of fresh calls: y, inference_y, dx, dweight, dbias, as tensors.

        Raises WrongResultError where a result is not even of the right kind.
        """

    def saved_bytes(self) -> int | None:
        """Bytes of distinct storages that forward saves for backward and that are neither inputs nor y; or None."""

    def steady(self) -> AbstractContextManager[None]:
        """A context in which a call that would compile anew, or fall back to another path, raises."""

    def compilations(self) -> int:
        """How many compilations this process has made so far; a change during timing spoils the sample."""

    def close(self) -> None:
        """Release what the case holds."""


_collected: list[Registration] = []


def implementation(
    name: str, *, function: str, summary: str = "", writes_dy: bool = False, norm_axes: bool = False
) -> Callable[[Builder], Builder]:
    """Register a builder under `name` as an implementation of `function`.

    The builder takes a `Workload` and gives a callable `forward(x, weight, bias)` (see the table of signatures in the
    README for other functions) or an `nn.Module`. One that takes a second argument, `arrays`, is of the fuller contract
    for other frameworks: it gives what `implementations/framework.py` describes. Keyword-only parameters of the builder
    are options that a suite may set. `writes_dy`: backward writes into the memory of dy, as in-place kernels do; each
    call then gets a copy of dy, which is made outside of its times. `norm_axes`: the builder reads
    `workload.norm_axes`; without it, workloads that normalize axis 1 are unsupported. Raises PluginError for an unknown
    function or a name that can't be typed on a command line.
    """
    if not isinstance(name, str) or not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
        shown = repr(name[:MOST_NAME] if isinstance(name, str) else name)
        raise PluginError(
            f"implementation name {shown} is not usable", hint="write a name of letters, digits, '_', '-' and '.'"
        )
    if len(name) > MOST_NAME:
        raise PluginError(
            f"implementation name {name[:16]!r}...: {len(name)} characters, at most {MOST_NAME} are shown"
        )
    if not isinstance(function, str) or function not in FUNCTIONS:
        raise PluginError(
            f'implementation "{name}": unknown function "{function}"',
            hint=f"{nearest(str(function), FUNCTIONS)}; {OTHER_FUNCTIONS}",
        )

    def register(builder: Builder) -> Builder:
        if not callable(builder):
            raise PluginError(f'implementation "{name}": the decorator stands on a function that takes a workload')
        if len(_collected) >= MOST_REGISTRATIONS:
            raise PluginError(f"a plug-in file registers at most {MOST_REGISTRATIONS} implementations")
        if writes_dy and takes_arrays(builder):
            raise PluginError(
                f'implementation "{name}": writes_dy is for builders of PyTorch',
                hint="a backward(saved) that works in place copies arrays.dy itself",
            )
        told = str(summary) or (inspect.getdoc(builder) or "").partition("\n")[0]
        text = " ".join(told[: 2 * MOST_SUMMARY].split())[:MOST_SUMMARY]
        _collected.append(
            Registration(name, function, text, builder, builder_options(builder), writes_dy, bool(norm_axes))
        )
        return builder

    return register


def collect() -> list[Registration]:
    """Take the registrations made since the last call."""
    taken = list(_collected)
    _collected.clear()
    return taken


def with_remark(forward: Builder, text: str) -> Builder:
    """A callable that says this of itself: it becomes a notice of its rows."""
    marked: Any = forward
    marked.remark = text
    return forward


def builder_options(builder: Callable[..., Any]) -> Mapping[str, object]:
    """The keyword-only parameters of a builder with their defaults (None where there is none)."""
    parameters = inspect.signature(builder).parameters.values()
    return MappingProxyType(
        {
            parameter.name: None if parameter.default is parameter.empty else parameter.default
            for parameter in parameters
            if parameter.kind is parameter.KEYWORD_ONLY
        }
    )


def takes_arrays(builder: Callable[..., Any]) -> bool:
    """True when a builder has a second positional parameter, as `prepare(workload, arrays)` has."""
    kinds = [parameter.kind for parameter in inspect.signature(builder).parameters.values()]
    return (
        sum(kind in {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD} for kind in kinds) > 1
    )


def bound_builder(registration: Registration, options: Mapping[str, object]) -> Callable[..., Any]:
    """The builder with a suite's options. `groups` has gone into the workload already."""
    accepted = {name: value for name, value in options.items() if name in registration.options}
    return functools.partial(registration.build, **accepted)
