"""Work of a known length for the selftest: a layer norm that is called several times over.

A plug-in file like any other, but one that only the selftest names: it is no implementation to choose.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from lnbench import Unsupported, implementation
from lnbench.workload import Workload


@implementation("planted", function="layer_norm", summary="PyTorch's layer_norm, called `repeats` times in a row")
def planted(workload: Workload, *, repeats: int = 100) -> Callable[[Tensor, Tensor | None, Tensor | None], Tensor]:
    """The same call over and over; the last result counts.

    In inference 105 repeats are exactly 5 % more work than 100. With gradients only the last call has a backward, so
    other phases would not be. Raises Unsupported for fewer repeats than one.
    """
    if repeats < 1:
        raise Unsupported("no repeats, no result")

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        for _ in range(repeats):
            y = functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)
        return y

    return forward
