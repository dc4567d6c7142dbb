"""The buffers that all PyTorch cases of a workload share: x, dy, parameters, running statistics.

One set of buffers, because where memory lies is worth a percent. Values are drawn anew in place by `refill`.
"""

import torch
from torch import Tensor

from lnbench.functions import Function, channel_axis, parameter_shape
from lnbench.implementations.oracle import Inputs
from lnbench.implementations.torch_layouts import Slab, slab_of_dy, slab_of_x
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
        self._cast_dy: dict[torch.dtype, Slab] = {}
        self._shared = [("x", self._slabs[0].memory), ("dy", self._slabs[1].memory)]
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
            self._shared += [("a parameter", tensor) for tensor in made]
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
        """The whole memory of every shared buffer, for comparing before and after, in the order of their making."""
        return [memory for _, memory in self._shared]

    def buffer_names(self) -> list[str]:
        """What each of these buffers is."""
        return [name for name, _ in self._shared]

    def dy_as(self, dtype: torch.dtype) -> list[Tensor]:
        """Every dy in the dtype of y, which autocast may make another than x's; cast once, and anew with each fill."""
        if dtype == self._dtype:
            return self.dy
        if dtype not in self._cast_dy:
            self._cast_dy[dtype] = slab_of_dy(self.workload, dtype, len(self.dy))
            self._shared.append(("dy", self._cast_dy[dtype].memory))
            self._fill_cast_dy()
        return list(self._cast_dy[dtype].tensors)

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
        self._fill_cast_dy()
        for shape in self._parameters:
            self._fill_parameters(shape)

    def _fill_cast_dy(self) -> None:
        for slab in self._cast_dy.values():
            for cell, drawn in zip(slab.cells, self._slabs[1].cells, strict=True):
                cell.data.copy_(drawn)

    def _fill_parameters(self, shape: tuple[int, ...]) -> None:
        generator = self._generator(2)
        weight, bias = self._parameters[shape]
        weight.data.copy_(1.0 + 0.25 * torch.randn(shape, generator=generator, dtype=torch.float32))
        bias.data.copy_(torch.randn(shape, generator=generator, dtype=torch.float32))
