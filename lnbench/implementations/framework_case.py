"""What the built-in cases of other frameworks share: arrays over the shared buffers, and results as NumPy arrays."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lnbench.implementations.framework import Arrays


class BufferedCase(ABC):
    """A case whose framework wraps PyTorch's memory where it can, and copies what it can't wrap.

    `x`, `dy` and `parameters` are arrays of the framework. `forward`, where a subclass has one, gives a sequence that
    begins with y; `backward` the gradients in `arrays.gradients`; `forward_backward` y and those gradients.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._index = 0
        self._pairs: list[tuple[Any, Any]] = []
        self.x: Any = None
        self.dy: Any = None
        self.parameters: dict[str, Any] = {}
        self._wrap_all()
        self.copies = tuple(name for name, array, tensor in self._named() if self.address(array) != tensor.data_ptr())

    @abstractmethod
    def wrap(self, tensor: Tensor) -> Any:
        """The tensor as an array of the framework, in the same memory where that can be."""

    @abstractmethod
    def address(self, array: Any) -> int:
        """Where an array lies in memory."""

    @abstractmethod
    def to_numpy(self, array: Any) -> Any:
        """An array as one of NumPy's."""

    @abstractmethod
    def inference(self) -> Any:
        """y, with nothing kept."""

    def select(self, index: int) -> None:
        """Read the pair of x and dy with this number from now on."""
        self._index = index
        self.x, self.dy = self._pairs[index]

    def refresh(self) -> None:
        """Take over new values where something was copied."""
        if self.copies:
            self._wrap_all()

    def outputs(self) -> Mapping[str, Any]:
        """Results of fresh calls of what is timed."""
        found = {"inference_y": self.inference()}
        gradients = self._arrays.gradients
        if hasattr(self, "forward") and hasattr(self, "backward"):
            saved = self.forward()
            found |= {"y": saved[0]} | dict(zip(gradients, self.backward(saved), strict=True))
        if hasattr(self, "forward_backward"):
            y, step_gradients = self.forward_backward()
            names = [f"step_{name}" for name in gradients]
            found |= {"step_y": y} | dict(zip(names, step_gradients, strict=True))
        return {name: self.to_numpy(array) for name, array in found.items()}

    def close(self) -> None:
        """Forget the arrays."""
        self._pairs.clear()
        self.parameters.clear()
        self.x = self.dy = None

    def _wrap_all(self) -> None:
        self._pairs = [(self.wrap(x), self.wrap(dy)) for x, dy in self._arrays.pairs]
        self.parameters = {name: self.wrap(tensor) for name, tensor in self._arrays.parameters().items()}
        self.select(self._index)

    def _named(self) -> list[tuple[str, Any, Tensor]]:
        """Array and tensor of each kind; all pairs are aligned alike, so the last stands for them."""
        (x, dy), (x_tensor, dy_tensor) = self._pairs[-1], self._arrays.pairs[-1]
        tensors = self._arrays.parameters()
        return [
            ("x", x, x_tensor),
            ("dy", dy, dy_tensor),
            *((name, self.parameters[name], tensor) for name, tensor in tensors.items()),
        ]
