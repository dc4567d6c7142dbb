"""How the shared tensors lie in memory: one allocation for all pairs of a workload, and the views that are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

import torch
from torch import Tensor

from lnbench.workload import STRIDE_PADDING, Layout, Workload

_PADDING = 1000.0
"""Stands between the rows of a strided tensor: a kernel that takes the stride for the length of a row shows."""

ALIGNMENT_B = 64
"""TensorFlow 2.21 ends the process on a tensor that begins elsewhere, and XLA copies it."""

DRAWN_ELEMENTS = 1 << 24
"""So many values are drawn at once: 64 MiB in float32."""

DRAWN_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Slab:
    """Tensors of one shape and layout in one allocation, so that rotation walks through all of it.

    memory: (pairs, ...), contiguous. tensors: what is read, one for each pair. cells: the same memory without anything
    twice, to be written; of an expanded tensor its single element.
    """

    memory: Tensor
    tensors: tuple[Tensor, ...]
    cells: tuple[Tensor, ...]

    def fill(self, generator: torch.Generator) -> None:
        """Draw every element from the standard normal distribution; what lies between rows is as it was.

        Drawn where the generator is, in float32, piece by piece: the memory for a whole tensor is not there to spare.
        Written through `data`, which leaves the tensors' version as it was: a result that is kept until the version
        changes would otherwise be right in every judgement, and never computed while timed.
        """
        if self.memory.numel() > sum(cell.numel() for cell in self.cells):
            self.memory.data.fill_(_PADDING)
        for cell in self.cells:
            for piece in drawn_pieces(cell.data):
                piece.copy_(torch.randn(piece.shape, generator=generator, dtype=torch.float32, device=generator.device))

    def dense(self) -> list[Tensor]:
        """As many contiguous elements as each tensor has, out of its own memory; of an expanded tensor its element."""
        return [
            piece.reshape(-1)[: min(tensor.numel(), piece.numel())]
            for piece, tensor in zip(self.memory.unbind(0), self.tensors, strict=True)
        ]


def drawn_pieces(tensor: Tensor, most_elements: int = DRAWN_ELEMENTS) -> Iterator[Tensor]:
    """A tensor in pieces of about so many elements, in row-major order, so that drawing them one by one draws the same.

    On the CPU PyTorch draws 16 normal values at a time, and those of a shorter end anew (2.11 to 2.13): every piece but
    the last is a multiple of that, and the last is not shorter.
    """
    if tensor.numel() <= most_elements or tensor.dim() == 0:
        yield tensor
        return
    of_one = tensor[0].numel()
    if of_one > most_elements and of_one % DRAWN_AT_ONCE == 0:
        for row in tensor.unbind(0):
            yield from drawn_pieces(row, most_elements)
        return
    together = DRAWN_AT_ONCE // gcd(DRAWN_AT_ONCE, of_one)
    step = max(most_elements // (of_one * together), 1) * together
    ends = list(range(step, len(tensor), step))
    if ends and (len(tensor) - ends[-1]) * of_one < DRAWN_AT_ONCE:
        ends.pop()
    for start, end in pairwise([0, *ends, len(tensor)]):
        yield tensor[start:end]


def slab_of_x(workload: Workload, dtype: torch.dtype, pairs: int) -> Slab:
    """Memory for x, or for what lies in memory as x does."""
    as_said = workload.layout in {Layout.CHANNELS_LAST, Layout.TRANSPOSED, Layout.STRIDED}
    return _slab(workload, Layout(workload.layout) if as_said else Layout.CONTIGUOUS, dtype, pairs)


def slab_of_dy(workload: Workload, dtype: torch.dtype, pairs: int) -> Slab:
    """Memory for dy, or for what lies in memory as dy does."""
    as_said = workload.layout in {Layout.CHANNELS_LAST, Layout.TRANSPOSED_DY, Layout.EXPANDED_DY}
    return _slab(workload, Layout(workload.layout) if as_said else Layout.CONTIGUOUS, dtype, pairs)


def _slab(workload: Workload, layout: Layout, dtype: torch.dtype, pairs: int) -> Slab:
    *lead, last = workload.shape

    def allocated(*sizes: int) -> Tensor:
        return torch.empty((pairs, *sizes), dtype=dtype, device=workload.device)

    match layout:
        case Layout.CONTIGUOUS:
            memory = allocated(_aligned(workload.elements, dtype) if pairs > 1 else workload.elements)
            tensors = memory[:, : workload.elements].view(pairs, *workload.shape)
        case Layout.CHANNELS_LAST:
            samples, channels, height, width = workload.shape
            memory = allocated(samples, height, width, channels)
            tensors = memory.permute(0, 1, 4, 2, 3)
        case Layout.TRANSPOSED | Layout.TRANSPOSED_DY:
            memory = allocated(*lead[:-1], last, lead[-1])
            tensors = memory.transpose(-1, -2)
        case Layout.STRIDED:
            memory = allocated(*lead, last + STRIDE_PADDING)
            tensors = memory[..., :last]
        case Layout.EXPANDED_DY:
            memory = allocated()
            tensors = memory.reshape(pairs, *[1] * len(workload.shape)).expand(pairs, *workload.shape)
    pieces = tensors.unbind(0)
    return Slab(memory, pieces, memory.unbind(0) if layout is Layout.EXPANDED_DY else pieces)


def _aligned(elements: int, dtype: torch.dtype) -> int:
    """So many elements or a few more, so that each pair begins where frameworks take memory without a copy."""
    line = ALIGNMENT_B // dtype.itemsize
    return -(-elements // line) * line
