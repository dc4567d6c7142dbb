"""What goes wrong on a GPU, each in an implementation of its own, with innocent ones beside them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lnbench import implementation
from lnbench.implementations.framework import Arrays
from lnbench.workload import Workload

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

Forward = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]

CYCLES_PER_S = 2e9
"""About what a GPU's clock does."""


@implementation("innocent_a", function="layer_norm", summary="PyTorch's layer_norm")
@implementation("innocent_b", function="layer_norm", summary="PyTorch's layer_norm")
@implementation("innocent_c", function="layer_norm", summary="PyTorch's layer_norm")
def innocent(workload: Workload) -> Forward:
    """Nothing is wrong here, and nothing of the others may be blamed on it."""
    shape, eps = workload.normalized_shape, workload.eps

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return functional.layer_norm(x, shape, weight, bias, eps)

    return forward


@implementation("innocent_array", function="layer_norm", summary="an array plug-in; its results are on the host")
class InnocentArray:
    """NumPy's layer norm: what another framework gives comes back in the host's memory."""

    no_step = "it has no gradients"

    def __init__(self, workload: Workload, arrays: Arrays) -> None:
        self._arrays = arrays
        self._eps = workload.eps

    def inference(self) -> Any:
        """y on the host."""
        x, weight, bias = (tensor.cpu().numpy() for tensor in (self._arrays.x, *self._arrays.parameters().values()))
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + self._eps) * weight + bias

    def wait(self) -> None:
        """A call returns when it is done."""

    def outputs(self) -> dict[str, Any]:
        """What a fresh call gives."""
        return {"inference_y": self.inference()}

    def close(self) -> None:
        """Nothing is held."""


@implementation("trap_host", function="layer_norm", summary="computes on the CPU, and returns its result there")
def trap_host(workload: Workload) -> Forward:
    """Expected to end as `wrong`."""
    norm = innocent(workload)

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        assert weight is not None
        assert bias is not None
        return norm(x.cpu(), weight.cpu(), bias.cpu())

    return forward


@implementation("trap_oom", function="layer_norm", summary="asks for more memory than any card has")
def trap_oom(workload: Workload) -> Forward:
    """Expected to end as `oom`."""
    return _after(workload, lambda x: torch.empty(1 << 42, dtype=torch.uint8, device=x.device))


@implementation("trap_assert", function="layer_norm", summary="an index out of range: a device-side assert")
def trap_assert(workload: Workload) -> Forward:
    """Expected to end as `error`; the device is lost to its process."""
    return _after(workload, lambda x: x.detach().reshape(-1)[torch.full((4,), 1 << 40, device=x.device)])


@implementation("trap_hang", function="layer_norm", summary="a kernel that runs for a minute")
def trap_hang(workload: Workload) -> Forward:
    """Expected to end as `timeout`."""
    return _after(workload, lambda x: torch.cuda._sleep(int(60 * CYCLES_PER_S)))


@implementation("trap_waits", function="layer_norm", summary="waits for the device inside each call")
def trap_waits(workload: Workload) -> Forward:
    """Can't be enqueued behind a spin: it gets wall times alone, and the others keep their rounds."""
    return _after(workload, lambda x: torch.cuda.synchronize())


@implementation("trap_many", function="layer_norm", summary="600 launches a call: three calls fill the driver's queue")
def trap_many(workload: Workload) -> Forward:
    """Few calls fit behind a spin."""
    cell = torch.zeros(1, device=workload.device)

    def launch(x: Tensor) -> None:
        for _ in range(600):
            cell.add_(1.0)

    return _after(workload, launch)


@implementation("trap_side", function="layer_norm", summary="works on a stream of its own and does not join it")
def trap_side(workload: Workload) -> Forward:
    """Expected to end as `wrong` or `error`: its result is not finished when it returns."""
    side = torch.cuda.Stream()
    norm = innocent(workload)

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        with torch.cuda.stream(side):
            torch.cuda._sleep(int(1e-3 * CYCLES_PER_S))
            return norm(x, weight, bias)

    return forward


@implementation("trap_graphs", function="layer_norm", summary="torch.compile with CUDA graphs (reduce-overhead)")
def trap_graphs(workload: Workload) -> Any:
    """Its outputs are overwritten by the next call."""
    return torch.compile(innocent(workload), fullgraph=True, dynamic=False, mode="reduce-overhead")


if triton is not None:

    @triton.jit  # type: ignore[untyped-decorator]
    def _write_far(target: Any, far: Any, BLOCK: tl.constexpr) -> None:  # noqa: N803  # Triton's custom
        tl.store(target + far + tl.arange(0, BLOCK), 1.0)

    @implementation("trap_lost", function="layer_norm", summary="a Triton kernel that writes far outside its memory")
    def trap_lost(workload: Workload) -> Forward:
        """Expected to end as `error` or `crash`; the device is lost to its process."""
        return _after(workload, lambda x: _write_far[(1,)](x.detach(), 1 << 40, BLOCK=128))


def _after(workload: Workload, mischief: Callable[[Tensor], object]) -> Forward:
    """A layer_norm that does something else first."""
    norm = innocent(workload)

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        mischief(x)
        return norm(x, weight, bias)

    return forward
