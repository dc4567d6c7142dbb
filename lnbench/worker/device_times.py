"""Which kinds of a case's calls have times on the device's or the graph's clock, and why the others have none."""

import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from lnbench.events import BLOCKED, LATE, WAITS
from lnbench.measure.sampler import Missed, Sample
from lnbench.planned import Notice
from lnbench.worker.calls import Kind

HOPELESS = 10
"""Samples without one in time after which a kind is not waited for: by then its queue has tried a single call."""

_CODES: Mapping[Missed, str] = MappingProxyType({Missed.LATE: LATE, Missed.WAITS: WAITS, Missed.BLOCKED: BLOCKED})


class DeviceTimes:
    """What the samples of one case were missed for, by kind of call, until the first one that was not."""

    def __init__(self) -> None:
        self._missed: dict[Kind, list[Missed]] = {}
        self._timed: set[Kind] = set()

    def note(self, kind: Kind, samples: Sequence[Sample]) -> None:
        """Take the samples of a turn into account."""
        if any(sample.device_s or sample.graph_s for sample in samples):
            self._timed.add(kind)
            self._missed.pop(kind, None)
        elif kind not in self._timed:
            self._missed.setdefault(kind, []).extend(it.missed for it in samples if it.missed is not None)

    @property
    def hopeless(self) -> tuple[Kind, ...]:
        """The kinds that will have no times."""
        return tuple(kind for kind, missed in self._missed.items() if len(missed) >= HOPELESS)

    def notices(self) -> Iterator[Notice]:
        """Why kinds have had no time at all so far."""
        last = {kind: missed[-1] for kind, missed in self._missed.items() if missed}
        for reason in dict.fromkeys(last.values()):
            kinds = " and ".join(kind.value.replace("_", " + ") for kind, missed in last.items() if missed is reason)
            yield Notice(code=_CODES[reason], text=_text(reason, kinds))


def _text(reason: Missed, kinds: str) -> str:
    match reason:
        case Missed.WAITS:
            return (
                f"{kinds}: a call waits for the device, so calls can't be queued ahead of it; .item(), .cpu() and "
                "synchronize() do that"
            )
        case Missed.LATE:
            return (
                f"{kinds}: the device was faster than the host that enqueues the calls, in every sample; other "
                "processes that use the host's cores, or very slow launches, do that"
            )
        case Missed.BLOCKED if os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in {"", "0"}:
            return "CUDA_LAUNCH_BLOCKING is set: every launch waits for the device; unset it"
        case Missed.BLOCKED:
            return "every launch waits for the device, as under a debugger or a profiler; measure without it"
