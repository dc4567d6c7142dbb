"""Python's garbage collector, at rest where millions of objects are made that belong to no circle."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Garbage collection paused: walking all that is kept, over and over, took a third of the time of making a plan."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
