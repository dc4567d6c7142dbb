"""Errors that mean that memory ran out, in the words of every library, and errors that do not."""

import pytest
import torch
from stage import cases, workload

from lnbench.implementations.torch_adapter import is_out_of_memory
from lnbench.planned import Status


class XlaRuntimeError(RuntimeError):
    """As jaxlib calls its own."""


class ResourceExhaustedError(Exception):
    """As TensorFlow calls its own, which is no RuntimeError."""


class CUDARuntimeError(Exception):
    """As CuPy calls its own."""


MEANT = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"),
    RuntimeError("Triton Error [CUDA]: CUDA_ERROR_OUT_OF_MEMORY"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes."),
    ResourceExhaustedError("{{function_node __wrapped__AddV2}} failed to allocate memory"),
    ValueError("OOM when allocating tensor with shape[65536,65536] on GPU:0 by allocator GPU_0_bfc"),
    CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"),
    RuntimeError("Failed to allocate memory for requested buffer of size 17179869184"),
]
NOT_MEANT = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("out of resource: shared memory, Required: 131072, Hardware limit: 101376"),
    RuntimeError("Triton Error [CUDA]: out of registers"),
    ValueError("not enough memory formats were given"),
]


@pytest.mark.parametrize("error", MEANT, ids=repr)
def test_a_case_that_runs_out_of_memory_ends_as_oom_whatever_library_says_so(error, one_thread):
    def build(on):
        raise error

    made, heard = cases({"it": build}, workload(8, 16))
    made.build_all()

    assert is_out_of_memory(error)
    assert heard.ends()[0].status is Status.OOM


@pytest.mark.parametrize("error", NOT_MEANT, ids=repr)
def test_what_lacks_something_else_is_no_want_of_memory(error):
    assert not is_out_of_memory(error)
