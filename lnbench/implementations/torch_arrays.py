"""The buffers that all PyTorch cases of a workload share: x, dy, parameters, running statistics.

One set of buffers, because where memory lies is worth a percent. Values are drawn anew in place by `refill`.
"""

import torch
from torch import Tensor

from lnbench.functions import Function, channel_axis, parameter_shape
from lnbench.implementations.oracle import Inputs
from lnbench.workload import Layout, Workload


class TorchArrays:
    """x and dy, `pairs` of each, and one weight and bias per parameter shape, on the workload's device.

    Values: x, dy and bias standard normal, weight normal around 1 with deviation 0.25, drawn from a seed.
    """

    def __init__(self, workload: Workload, *, seed: int, pairs: int = 1) -> None:
        self.workload = workload
        self.seed = seed
        self._dtype: torch.dtype = getattr(torch, workload.dtype)
        self._param_dtype: torch.dtype = getattr(torch, workload.param_dtype)
        self._slabs = [_slab(workload, self._dtype, pairs) for _ in range(2)]
        self.x: list[Tensor] = list(self._slabs[0].unbind(0))
        self.dy: list[Tensor] = list(self._slabs[1].unbind(0))
        self._parameters: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._fill()

    def leaves(self) -> list[Tensor]:
        """Every x as a leaf of the graph, on the same memory."""
        return [x.detach().requires_grad_() for x in self.x]

    def parameters(self, function: Function) -> tuple[Tensor | None, Tensor | None]:
        """Weight and bias of a function; None where the workload or the function has none."""
        shape = parameter_shape(function, self.workload)
        if shape not in self._parameters:
            made = [torch.empty(shape, dtype=self._param_dtype, device=self.workload.device) for _ in range(2)]
            self._parameters[shape] = (made[0], made[1])
            self._fill_parameters(shape)
        weight, bias = self._parameters[shape]
        affine = self.workload.affine
        return (
            None if affine == "none" else weight,
            bias if affine == "both" and function.has_bias else None,
        )

    def running_statistics(self) -> tuple[Tensor, Tensor]:
        """A fresh running mean and variance, one entry per channel, in the parameters' dtype.

        In that dtype, because PyTorch's batch norm takes no other pair.
        """
        channels = self.workload.shape[channel_axis(self.workload)]
        generator = self._generator(3)
        mean = torch.randn(channels, generator=generator, dtype=torch.float32) * 0.25
        variance = 0.5 + torch.rand(channels, generator=generator, dtype=torch.float32)
        return (
            mean.to(self.workload.device, self._param_dtype),
            variance.to(self.workload.device, self._param_dtype),
        )

    def inputs(self, function: Function, running: tuple[Tensor, Tensor] | None, *, index: int = 0) -> Inputs:
        """What a function reads, for the oracle."""
        weight, bias = self.parameters(function)
        mean, variance = running or (None, None)
        return Inputs(self.x[index], self.dy[index], weight, bias, mean, variance)

    def refill(self, seed: int) -> None:
        """Draw all values anew, in the same memory."""
        self.seed = seed
        self._fill()

    def restore(self) -> None:
        """Put back the values of the current seed, after something wrote into them."""
        self._fill()

    def scale_x(self, factor: float, offset: float) -> None:
        """Replace every x by factor x + offset, for inputs that are hard to normalize."""
        for x in self.x:
            x.data.mul_(factor).add_(offset)

    def all_buffers(self) -> list[Tensor]:
        """Every buffer that is shared, for comparing before and after."""
        return [*self._slabs, *(tensor for pair in self._parameters.values() for tensor in pair)]

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + stream)

    def _fill(self) -> None:
        """Draw on the CPU, so that a seed means the same values on every device.

        Written through `data`, which leaves the tensors' version as it was: a result that is kept until the version
        changes would otherwise be right in every judgement, and never computed while timed.
        """
        for stream, slab in enumerate(self._slabs):
            generator = self._generator(stream)
            for tensor in slab.unbind(0):
                tensor.data.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float32))
        for shape in self._parameters:
            self._fill_parameters(shape)

    def _fill_parameters(self, shape: tuple[int, ...]) -> None:
        generator = self._generator(2)
        weight, bias = self._parameters[shape]
        weight.data.copy_(1.0 + 0.25 * torch.randn(shape, generator=generator, dtype=torch.float32))
        bias.data.copy_(torch.randn(shape, generator=generator, dtype=torch.float32))


def _slab(workload: Workload, dtype: torch.dtype, pairs: int) -> Tensor:
    """One allocation of (pairs, *shape) in the workload's layout, so that rotation walks through all of it."""
    if workload.layout == Layout.CHANNELS_LAST:
        samples, channels, height, width = workload.shape
        slab = torch.empty((pairs, samples, height, width, channels), dtype=dtype, device=workload.device)
        return slab.permute(0, 1, 4, 2, 3)
    return torch.empty((pairs, *workload.shape), dtype=dtype, device=workload.device)
