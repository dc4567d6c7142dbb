"""How a GPU is set up, in words: what makes two cards of one name differ. "" where the driver does not report it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lnbench.planned import Gpu


def _power_limit(gpu: Gpu) -> str:
    return "" if gpu.power_limit_w is None else f"power limit {gpu.power_limit_w:g} W"


def _sm_clock(gpu: Gpu) -> str:
    return "" if gpu.max_sm_clock_hz is None else f"SM clock up to {gpu.max_sm_clock_hz / 1e6:g} MHz"


def _memory_clock(gpu: Gpu) -> str:
    return "" if gpu.max_memory_clock_hz is None else f"memory clock up to {gpu.max_memory_clock_hz / 1e6:g} MHz"


def _switch(name: str, value: bool | None) -> str:
    return "" if value is None else f"{name} {'on' if value else 'off'}"


SPEED_SETUP: Mapping[str, Callable[[Gpu], str]] = MappingProxyType(
    {
        "GPU power limit": _power_limit,
        "GPU SM clock": _sm_clock,
        "GPU memory clock": _memory_clock,
        "GPU ECC": lambda gpu: _switch("ECC", gpu.ecc),
        "GPU MIG": lambda gpu: _switch("MIG", gpu.mig),
    }
)
"""Settings that change how fast a GPU is: two runs are compared where they match."""

OTHER_SETUP: Mapping[str, Callable[[Gpu], str]] = MappingProxyType(
    {"GPU persistence": lambda gpu: _switch("persistence", gpu.persistence)}
)
"""Settings that change only how a GPU begins to work."""


def setup_in_words(gpu: Gpu) -> list[str]:
    """All settings that the driver reports."""
    return [words for read in (*SPEED_SETUP.values(), *OTHER_SETUP.values()) if (words := read(gpu))]
