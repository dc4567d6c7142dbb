"""The buffers that all PyTorch cases of a workload share: x, dy, residuals, parameters, running statistics.

One set of buffers, because where memory lies is worth a percent. Values are drawn anew in place by `refill`.
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from lnbench.functions import ALPHA_SHAPE, Function, channel_axis, parameter_shape
from lnbench.implementations.oracle import Inputs
from lnbench.implementations.torch_layouts import Slab, slab_of_dy, slab_of_x
from lnbench.workload import Gradients, Workload

UPSTREAM: Mapping[str, str] = MappingProxyType({"y": "dy", "new_residual": "dnew_residual"})
"""The upstream gradient of each output."""

_STREAMS = {
    "x": 0,
    "dy": 1,
    "weight and bias": 2,
    "running statistics": 3,
    "residual": 4,
    "dnew_residual": 5,
    "alpha": 6,
}
"""Each draws its own values from the seed, whatever else there is."""


class TorchArrays:
    """x and dy, `pairs` of each, and one weight and bias per parameter shape, on the workload's device.

    Where a function adds a residual, there are as many of it and of the new residual's upstream gradient, which lie in
    memory as x and dy do. Values are drawn from a seed: weight normal around 1 with deviation 0.25, alpha uniform
    between 0.25 and 0.75, all others standard normal.
    """

    def __init__(self, workload: Workload, *, seed: int, pairs: int = 1) -> None:
        self.workload = workload
        self.seed = seed
        self._dtype: torch.dtype = getattr(torch, workload.dtype)
        self._param_dtype: torch.dtype = getattr(torch, workload.param_dtype)
        self._pairs = pairs
        self._slabs: dict[str, Slab] = {}
        self._casts: dict[tuple[str, torch.dtype], Slab] = {}
        self._parameters: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._alpha: Tensor | None = None
        self._shared: list[tuple[str, Tensor]] = []
        self.x = self.of("x")
        self.dy = self.of("dy")

    def of(self, name: str) -> list[Tensor]:
        """Every x, dy, residual or dnew_residual, by that name; made on first use."""
        if name not in self._slabs:
            make = slab_of_dy if name in UPSTREAM.values() else slab_of_x
            self._slabs[name] = make(self.workload, self._dtype, self._pairs)
            self._shared.append((name, self._slabs[name].memory))
            self._fill_slab(name)
        return list(self._slabs[name].tensors)

    def leaves(self, function: Function) -> list[tuple[Tensor, ...]]:
        """Every x, with its residual where there is one, as leaves of the graph on the same memory.

        They require no gradient where the workload wants none of them.
        """
        wanted = self.workload.gradients != Gradients.PARAMETERS
        names = ("x", "residual") if function.has_residual else ("x",)
        pairs = zip(*(self.of(name) for name in names), strict=True)
        return [tuple(tensor.detach().requires_grad_(wanted) for tensor in pair) for pair in pairs]

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

    def learned(self, function: Function) -> dict[str, Tensor | None]:
        """What a function learns, by name: alpha, where it has one, weight and bias."""
        weight, bias = self.parameters(function)
        alpha = {"alpha": self._of_alpha()} if function.has_alpha else {}
        return {**alpha, "weight": weight, "bias": bias}

    def running_statistics(self) -> tuple[Tensor, Tensor]:
        """A fresh running mean and variance, one entry per channel, in the parameters' dtype.

        In that dtype, because PyTorch's batch norm takes no other pair.
        """
        channels = self.workload.shape[channel_axis(self.workload)]
        generator = self._generator(_STREAMS["running statistics"])
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
        residual, dnew_residual = (
            self.of(name)[index] if function.has_residual else None for name in ("residual", "dnew_residual")
        )
        alpha = self._of_alpha() if function.has_alpha else None
        return Inputs(self.x[index], self.dy[index], weight, bias, mean, variance, residual, dnew_residual, alpha)

    def refill(self, seed: int) -> None:
        """Draw all values anew, in the same memory."""
        self.seed = seed
        self._fill()

    def restore(self) -> None:
        """Put back the values of the current seed, after something wrote into them."""
        self._fill()

    def scale_x(self, factor: float, offset: float) -> None:
        """Replace every x by factor x + offset, for inputs that are hard to normalize; residuals by factor residual."""
        for x in self.x:
            x.data.mul_(factor).add_(offset)
        for residual in self.of("residual") if "residual" in self._slabs else ():
            residual.data.mul_(factor)

    def all_buffers(self) -> list[Tensor]:
        """The whole memory of every shared buffer, for comparing before and after, in the order of their making."""
        return [memory for _, memory in self._shared]

    def buffer_names(self) -> list[str]:
        """What each of these buffers is."""
        return [name for name, _ in self._shared]

    def upstream(self, output: str, dtype: torch.dtype) -> list[Tensor]:
        """The upstream gradient of an output in its dtype, for every pair.

        Autocast may give an output another dtype than x's: its gradient is then cast once, and anew with each fill.
        """
        name = UPSTREAM[output]
        drawn = self.of(name)
        if dtype == self._dtype:
            return drawn
        if (name, dtype) not in self._casts:
            self._casts[name, dtype] = slab_of_dy(self.workload, dtype, self._pairs)
            self._shared.append((name, self._casts[name, dtype].memory))
            self._fill_casts()
        return list(self._casts[name, dtype].tensors)

    def dense(self) -> tuple[list[Tensor], list[Tensor]]:
        """Contiguous ranges as long as every x and dy, out of their memory, for copies to be held against.

        An expanded dy has no such memory: in its place stands the x of another pair, or memory of its own where there
        is one pair.
        """
        x, dy = (self._slabs[name].dense() for name in ("x", "dy"))
        if dy[0].numel() < x[0].numel():
            dy = [*x[1:], x[0]] if len(x) > 1 else [x[0].clone()]
        return x, dy

    def _generator(self, stream: int, device: torch.device | str = "cpu") -> torch.Generator:
        """Draws the values of a stream on a device.

        x, dy and residuals are drawn where they lie: one thread of the CPU takes seconds for a large tensor. So a seed
        gives other values on a GPU than on the CPU, and the same ones every time on one kind of GPU: all cases of a run
        read the same values, and what was written over can be drawn again.
        """
        return torch.Generator(device).manual_seed(self.seed * 1_000_003 + stream)

    def _fill(self) -> None:
        for name in self._slabs:
            self._fill_slab(name)
        self._fill_casts()
        for shape in self._parameters:
            self._fill_parameters(shape)
        if self._alpha is not None:
            self._fill_alpha(self._alpha)

    def _fill_slab(self, name: str) -> None:
        slab = self._slabs[name]
        slab.fill(self._generator(_STREAMS[name], slab.memory.device))

    def _fill_casts(self) -> None:
        for (name, _), slab in self._casts.items():
            for cell, drawn in zip(slab.cells, self._slabs[name].cells, strict=True):
                cell.data.copy_(drawn)

    def _of_alpha(self) -> Tensor:
        """The one alpha of all cases; made on first use."""
        if self._alpha is None:
            self._alpha = torch.empty(ALPHA_SHAPE, dtype=self._param_dtype, device=self.workload.device)
            self._shared.append(("alpha", self._alpha))
            self._fill_alpha(self._alpha)
        return self._alpha

    def _fill_alpha(self, alpha: Tensor) -> None:
        """Around 0.5, the value that training begins with."""
        alpha.data.copy_(0.25 + 0.5 * torch.rand(ALPHA_SHAPE, generator=self._generator(_STREAMS["alpha"])))

    def _fill_parameters(self, shape: tuple[int, ...]) -> None:
        generator = self._generator(_STREAMS["weight and bias"])
        weight, bias = self._parameters[shape]
        weight.data.copy_(1.0 + 0.25 * torch.randn(shape, generator=generator, dtype=torch.float32))
        bias.data.copy_(torch.randn(shape, generator=generator, dtype=torch.float32))
