"""The fuller contract, for frameworks other than PyTorch: what `prepare(workload, arrays)` gets, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Arrays:
    """The tensors of a case, in the memory that all cases of the workload read.

    They export DLPack, so that a framework can read the same memory, and `.numpy()`. Their values change in place
    between calls. `pairs`: every x with its dy, several where caches are to be cold. Absent parameters are None.
    `gradients`: the names of those that backward computes, in order (`dx`, `dalpha`, `dweight`, `dbias`). `alpha`: of
    dynamic tanh alone, one element.
    """

    pairs: tuple[tuple[Tensor, Tensor], ...]
    gradients: tuple[str, ...]
    weight: Tensor | None = None
    bias: Tensor | None = None
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    alpha: Tensor | None = None

    @property
    def x(self) -> Tensor:
        """The (first) input, of the workload's shape and dtype."""
        return self.pairs[0][0]

    @property
    def dy(self) -> Tensor:
        """The (first) upstream gradient, of the workload's shape and dtype."""
        return self.pairs[0][1]

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter and running statistic that there is, by name."""
        named = {name: getattr(self, name) for name in ("alpha", "weight", "bias", "running_mean", "running_var")}
        return {name: tensor for name, tensor in named.items() if tensor is not None}


class FrameworkCase(Protocol):
    """What `prepare` gives. Calls may return before they are done; `wait` returns when all that was asked for is.

    A case without `forward` and `backward` has an inference phase only, and may say why as `no_step`. It may have more:

    - `forward_backward()`: a whole step as one function, which is then timed for itself. It gives the pair of y and the
      gradients, or computing y could be left out.
    - `select(index)`: read that pair of `arrays.pairs` from now on. Cold caches need it.
    - `refresh()` and `copies`: take over values that have changed, where the framework can't share memory, and the
      names of what is copied, which the rows tell.
    - `compiles`: True where first calls compile. `on_torch_stream`: True where work on a GPU goes to PyTorch's stream.
    """

    def inference(self) -> Any:
        """Give y, and keep nothing for a gradient."""

    def forward(self) -> Any:
        """Compute y, and give what `backward` takes."""

    def backward(self, saved: Any) -> Any:
        """Give the gradients in `arrays.gradients`, in that order, from what `forward` gave."""

    def wait(self) -> None:
        """Return when all work that was asked for is done."""

    def outputs(self) -> Mapping[str, Any]:
        """What fresh calls give, as NumPy arrays in x's dtype: `inference_y`; `y` and the gradients of a step.

        Where there is a `forward_backward`, its results too, as `step_y`, `step_dx` and so on.
        """

    def close(self) -> None:
        """Release what the case holds."""
