"""What is on this machine, as JSON on one line after a mark: python -m tools.gpu_check.facts MARK

A process of its own, because CUDA may end it.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

PACKAGES = (
    *("numpy", "scipy", "pandas", "pydantic", "typer", "rich", "triton", "liger-kernel", "nvidia-ml-py"),
    *("jax", "equinox", "tensorflow", "pytest"),
)


def facts() -> dict[str, object]:
    """Versions, the device, the environment as lnbench records it, and how starting its clock ended."""
    began = time.perf_counter()
    import torch

    found: dict[str, object] = {"import_torch_s": round(time.perf_counter() - began, 1)}
    began = time.perf_counter()
    found |= {
        "torch": [torch.__version__, torch.version.cuda, torch.cuda.is_available(), torch.cuda.device_count()],
        "device": _try(lambda: torch.cuda.get_device_name(0)),
        "first_kernel": _try(lambda: float(torch.ones(4, device="cuda").sum())),
        "start_s": round(time.perf_counter() - began, 1),
        "packages": {name: _try(lambda name=name: version(name)) for name in PACKAGES},  # type: ignore[misc]
    }
    from lnbench.measure.cuda import TorchEventClock
    from lnbench.measure.environment import absent_devices, read_environment
    from lnbench.measure.nvml import Nvml

    nvml = Nvml()
    environment = read_environment(nvml)
    return found | {
        "environment": environment.model_dump(mode="json"),
        "absent": absent_devices(environment, nvml),
        "clock": _try(lambda: TorchEventClock("cuda") and "starts"),
    }


def _try(read: Callable[[], object]) -> object:
    """A value, or the error that reading it raised."""
    try:
        return read()
    # Whatever a library that is not quite there raises is what is to be found out.
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]


if __name__ == "__main__":
    print(sys.argv[1] + json.dumps(facts()))
