"""One implementation, loaded, built, called and judged once on a tiny workload, in a process that may die of it."""

import os
from collections.abc import Sequence

from pydantic import BaseModel

from lnbench.errors import PluginError, TerminatedError, in_a_line
from lnbench.events import Ended
from lnbench.examined import Rehearsal
from lnbench.functions import FUNCTIONS
from lnbench.implementations.contract import Registration
from lnbench.implementations.registry import BUILT_IN, Registry
from lnbench.implementations.sources import load_source
from lnbench.measure.cuda import missing_device
from lnbench.planned import PlannedCase, Stage, Status
from lnbench.worker.cases import Cases, SpoiledProcessError
from lnbench.worker.description import SOURCE, describe_registration
from lnbench.worker.judging import Judge
from lnbench.worker.protocol import WorkerChannel
from lnbench.workload import Workload

_SHAPES = {False: ((8, 64), (64,)), True: ((2, 32, 4, 4), (32, 4, 4))}
"""Shape and normalized shape: rows of a few vectors for most; feature maps for functions of channels."""


def rehearse(descriptor: int, device: str, name: str, sources: Sequence[str]) -> None:
    """Try an implementation on a kind of device, and write a Rehearsal as JSON to an open descriptor.

    `sources`: the one that brings it, as JSON; none for a built-in.
    """
    data = _tried(device, name, sources).model_dump_json().encode()
    while data:
        data = data[os.write(descriptor, data) :]


def _tried(device: str, name: str, sources: Sequence[str]) -> Rehearsal:
    try:
        added = [it for source in sources for it in load_source(SOURCE.validate_json(source))]
    except PluginError as error:
        return Rehearsal(status="fails", detail=error.message)
    except TerminatedError:
        raise
    # A package may raise anything when it is imported; that is what is to be found out.
    except BaseException as error:
        return Rehearsal(status="fails", detail=in_a_line(error))
    function, summary = _told(name, added)
    missing = missing_device(device)
    if missing:
        return Rehearsal(status="absent", detail=missing, function=function, summary=summary)
    end = _end_of(name, function, device, Registry(added))
    if end is None:
        return Rehearsal(status="works", function=function, summary=summary)
    return Rehearsal(
        status="absent" if end.status is Status.UNSUPPORTED else "fails",
        detail=f"{end.reason}, at {end.stage}",
        function=function,
        summary=summary,
    )


def _told(name: str, added: Sequence[Registration]) -> tuple[str, str]:
    """Function and summary; those of a built-in stand in the table of rows already."""
    for registration in added:
        if registration.name == name:
            described = describe_registration(0, registration)
            return described.function, described.summary
    return BUILT_IN[name].function, BUILT_IN[name].summary


def _end_of(name: str, function: str, device: str, registry: Registry) -> Ended | None:
    """How its case ended; None when it was built, called and found right."""
    shape, normalized_shape = _SHAPES[FUNCTIONS[function].channelwise]
    modes = FUNCTIONS[function].norm_modes
    case = PlannedCase(
        workload=0, implementation=name, use=name, function=function, norm_mode=modes[0] if modes else "", groups=None
    )
    channel = _Kept()
    try:
        workload = Workload(shape, normalized_shape, device=device)
        cases = Cases(
            channel, registry, process=0, workload_number=0, workload=workload, planned={0: case}, seed=1, pairs=1
        )
        cases.build_all()
        Judge(cases, judged={}).before()
    except SpoiledProcessError:
        pass  # the case has ended, which is all that is asked here
    return next((message for message in channel.messages if isinstance(message, Ended)), None)


class _Kept(WorkerChannel):
    """A channel to nobody: what would be told to a conductor is kept."""

    def __init__(self) -> None:
        self.messages: list[BaseModel] = []

    def send(self, message: BaseModel) -> None:
        self.messages.append(message)

    def announce(self, case: int, stage: Stage) -> None:
        """Nobody needs to know who is at work: there is one."""

    def flush(self) -> None:
        """Nothing waits."""
