"""From a registration to a case that can be called: each contract has its adapter."""

from collections.abc import Mapping

from lnbench.errors import Unsupported
from lnbench.functions import FUNCTIONS, LAST_AXES_ALONE
from lnbench.implementations.array_adapter import ArrayPrepared
from lnbench.implementations.contract import Prepared, Registration, bound_builder
from lnbench.implementations.torch_adapter import TorchPrepared
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.workload import Workload


def prepare(
    registration: Registration, workload: Workload, options: Mapping[str, object], arrays: TorchArrays
) -> Prepared:
    """Build an implementation for a workload, bound to the shared buffers.

    Raises Unsupported where it does not do the workload, PluginError where it gives what is no implementation.
    """
    if workload.norm_axes and not registration.norm_axes:
        raise Unsupported(LAST_AXES_ALONE)
    builder, function = bound_builder(registration, options), FUNCTIONS[registration.function]
    if registration.takes_arrays:
        return ArrayPrepared(builder, function, workload, arrays)
    return TorchPrepared(builder(workload), function, workload, arrays, writes_dy=registration.writes_dy)
