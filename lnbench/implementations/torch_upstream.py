"""The upstream gradients that a PyTorch case's backward reads: the shared ones, or copies where it writes into them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lnbench.implementations.torch_arrays import TorchArrays


class Upstream:
    """The upstream gradients of some outputs, for every pair of x and dy, once the dtypes of the outputs are known.

    `copied`: backward gets copies that lie in memory as the shared ones do, and `renew` fills those that it has written
    into.
    """

    def __init__(self, arrays: TorchArrays, outputs: Sequence[str], *, copied: bool) -> None:
        self._arrays = arrays
        self._outputs = outputs
        self._shared: list[tuple[Tensor, ...]] = []
        self.copied = copied
        self.pairs: list[tuple[Tensor, ...]] | None = None

    def bind(self, dtypes: Mapping[str, torch.dtype]) -> None:
        """Take the gradients for outputs of these dtypes."""
        self._shared = self._of(dtypes)
        self.pairs = [_clones(pair) for pair in self._shared] if self.copied else self._shared

    def renew(self, index: int) -> None:
        """Fill the copies of a pair anew."""
        assert self.pairs is not None  # bound with the call that renews
        for own, shared in zip(self.pairs[index], self._shared[index], strict=True):
            own.copy_(shared)

    def renew_all(self) -> None:
        """Fill all copies anew, after the shared values have changed."""
        for index in range(len(self._shared) if self.copied else 0):
            self.renew(index)

    def first(self, dtypes: Mapping[str, torch.dtype]) -> tuple[Tensor, ...]:
        """Those of the first pair, for one backward whose results are kept: fresh copies where there are copies."""
        shared = self._of(dtypes)[0]
        return _clones(shared) if self.copied else shared

    def _of(self, dtypes: Mapping[str, torch.dtype]) -> list[tuple[Tensor, ...]]:
        return list(zip(*(self._arrays.upstream(it, dtypes[it]) for it in self._outputs), strict=True))


def _clones(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.clone() for tensor in tensors)
