"""What goes wrong on the pretended GPU alone: it is lost on purpose, where a real one needs a kernel for that."""

from typing import Any

from torch import Tensor

from lnbench import implementation
from lnbench.workload import Workload
from tools.gpu_check.pretended.device import DEVICE


@implementation("trap_lost", function="layer_norm", summary="loses the device, with Triton's words for it")
def trap_lost(workload: Workload) -> Any:
    """Expected to end as `error`; the device is lost to its process."""

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        DEVICE.lose()
        raise RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered")

    return forward
