"""The buffers that all PyTorch cases of a workload share: x, dy, parameters, running statistics.

One set of buffers, because where memory lies is worth a percent. Values are drawn anew in place by `refill`.
"""

import torch
from torch import Tensor

from lnbench.functions import Function, channel_axis, parameter_shape
from lnbench.implementations.oracle import Inputs
from lnbench.implementations.torch_layouts import slab_of_dy, slab_of_x
from lnbench.workload import Gradients, Workload


class TorchArrays:
    """x and dy, `pairs` of each, and one weight and bias per parameter shape, on the workload's device.

    Values: x, dy and bias standard normal, weight normal around 1 with deviation 0.25, drawn from a seed.
    """

    def __init__(self, workload: Workload, *, seed: int, pairs: int = 1) -> None:
        self.workload = workload
        self.seed = seed
        self._dtype: torch.dtype = getattr(torch, workload.dtype)
        self._param_dtype: torch.dtype = getattr(torch, workload.param_dtype)
        self._slabs = [slab_of_x(workload, self._dtype, pairs), slab_of_dy(workload, self._dtype, pairs)]
        self.x: list[Tensor] = list(self._slabs[0].tensors)
        self.dy: list[Tensor] = list(self._slabs[1].tensors)
        self._parameters: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._fill()

    def leaves(self) -> list[Tensor]:
        """Every x as a leaf of the graph, on the same memory; without a gradient where the workload wants none."""
        return [x.detach().requires_grad_(self.workload.gradients != Gradients.PARAMETERS) for x in self.x]

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
        """The whole memory of every shared buffer, for comparing before and after: x, dy, then parameters."""
        slabs = (slab.memory for slab in self._slabs)
        return [*slabs, *(tensor for pair in self._parameters.values() for tensor in pair)]

    def dense(self) -> tuple[list[Tensor], list[Tensor]]:
        """Contiguous ranges as long as every x and dy, out of their memory, for copies to be held against.

        An expanded dy has no such memory: in its place stands the x of another pair, or memory of its own where there
        is one pair.
        """
        x, dy = (slab.dense() for slab in self._slabs)
        if dy[0].numel() < x[0].numel():
            dy = [*x[1:], x[0]] if len(x) > 1 else [x[0].clone()]
        return x, dy

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + stream)

    def _fill(self) -> None:
        for stream, slab in enumerate(self._slabs):
            slab.fill(self._generator(stream))
        for shape in self._parameters:
            self._fill_parameters(shape)

    def _fill_parameters(self, shape: tuple[int, ...]) -> None:
        generator = self._generator(2)
        weight, bias = self._parameters[shape]
        weight.data.copy_(1.0 + 0.25 * torch.randn(shape, generator=generator, dtype=torch.float32))
        bias.data.copy_(torch.randn(shape, generator=generator, dtype=torch.float32))
