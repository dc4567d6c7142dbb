"""The worker's door: `python -m lnbench.worker PARENT ORDERS_FD MESSAGES_FD TURNS_FD FAULTS_FD`, or `--describe`,
`--rehearse`, `--survey`, `--try`."""

import faulthandler
import os
import sys
from time import perf_counter

from lnbench.errors import TerminatedError
from lnbench.measure.heap import retain_heap
from lnbench.worker.ending import TELL_SIGNAL, end_in_order, end_terminated, end_with, prepare_to_end
from lnbench.worker.protocol import Setup, WorkerChannel
from lnbench.workload import Allocator


def serve(parent: int, orders_fd: int, messages_fd: int, turns_fd: int, faults_fd: int) -> None:
    """Follow the conductor's orders until it closes its pipe.

    The heap is fixed before torch is imported, so that nothing of it stands in a heap of other habits.
    """
    started = perf_counter()
    prepare_to_end(faults_fd, parent=parent)
    channel = WorkerChannel(orders_fd, messages_fd, turns_fd)
    orders = channel.orders()
    setup = next(orders)
    assert isinstance(setup, Setup)
    if setup.allocator == Allocator.RETAINED:
        retain_heap()
    from lnbench.worker.session import Session

    session = Session(channel, setup, started=started)
    for order in orders:
        assert not isinstance(order, Setup)
        session.measure(order)


def main(arguments: list[str]) -> None:
    """Serve, or answer one question to whoever reads the given descriptor."""
    end_in_order()
    try:
        if not arguments[0].startswith("--"):
            serve(*map(int, arguments))
            return
        faulthandler.enable()
        faulthandler.register(TELL_SIGNAL, all_threads=True)
        end_with(os.getppid())
        _answer(arguments)
    except TerminatedError:
        end_terminated()
    os._exit(0)  # threads that a plug-in left, or what it wants to do at the end, are not waited for


def _answer(arguments: list[str]) -> None:
    if arguments[0] == "--describe":
        from lnbench.worker.description import describe_sources

        describe_sources(int(arguments[1]), int(arguments[2]), arguments[3:])
    elif arguments[0] == "--rehearse":
        from lnbench.worker.rehearsal import rehearse

        rehearse(int(arguments[1]), arguments[2], arguments[3], arguments[4:])
    elif arguments[0] == "--survey":
        retain_heap()
        from lnbench.worker.survey import survey

        survey(int(arguments[1]), int(arguments[2]), arguments[3])
    elif arguments[0] == "--try":
        from lnbench.worker.trials import try_it

        try_it(int(arguments[1]), arguments[2])


if __name__ == "__main__":
    main(sys.argv[1:])
