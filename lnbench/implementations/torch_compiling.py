"""What torch.compile does in this process: made to fail where it would give up in silence, and counted."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_VERSIONS = 64
"""Compiled versions per code object: enough for ten cases that share one."""


@dataclass
class Compiling:
    """What was compiled meanwhile: graphs captured, those not found in the cache on disk, graph breaks, and frames
    compiled again that had been compiled before (another gradient mode is enough)."""

    graphs: int = 0
    cache_misses: int = 0
    graph_breaks: int = 0
    recompilations: int = 0


def begin_compiling_afresh() -> None:
    """Forget what was compiled for other workloads, and make torch.compile fail where it would give up in silence.

    It keeps 8 versions per code object, which all that one builder compiles share, and runs uncompiled after that; the
    stance `fail_on_recompile` does not see it (torch 2.13). A workload needs two versions for each of up to three
    builds of a case, more where cases share code.
    """
    import torch._dynamo

    torch._dynamo.reset()
    torch._dynamo.config.recompile_limit = MOST_VERSIONS
    torch._dynamo.config.fail_on_recompile_limit_hit = True


@contextmanager
def counted_compiling() -> Iterator[Compiling]:
    """Counts what is compiled inside; the counts are there when it has ended."""
    found = Compiling()
    graphs, misses, breaks = compilations(), _cache_misses(), _graph_breaks()
    if _is_used():  # it keeps the last 64 compilations only, fewer than a case makes
        sys.modules["torch._dynamo.utils"].clear_compilation_metrics()
    yield found
    found.graphs = compilations() - graphs
    found.cache_misses = _cache_misses() - misses
    found.graph_breaks = _graph_breaks() - breaks
    found.recompilations = _recompilations()


def compilations() -> int:
    """How many graphs torch.compile has captured in this process; 0 when it was never used."""
    if not _is_used():
        return 0
    return int(sys.modules["torch._dynamo.utils"].counters["stats"]["unique_graphs"])


def _is_used() -> bool:
    return "torch._dynamo.utils" in sys.modules


def _cache_misses() -> int:
    """How many graphs were compiled rather than found in the cache on disk."""
    if not _is_used():
        return 0
    counters = sys.modules["torch._dynamo.utils"].counters
    return int(counters["inductor"]["fxgraph_cache_miss"] + counters["inductor"]["fxgraph_cache_bypass"])


def _graph_breaks() -> int:
    return sum(sys.modules["torch._dynamo.utils"].counters["graph_break"].values()) if _is_used() else 0


def _recompilations() -> int:
    """Compilations since the metrics were cleared whose id, `frame/version`, tells a version after the first."""
    if not _is_used():
        return 0
    # A backward that is compiled has an entry of its own with the id of its forward.
    ids = {str(metrics.compile_id) for metrics in sys.modules["torch._dynamo.utils"].get_compilation_metrics()}
    return sum(found.rpartition("/")[2] not in {"", "0"} for found in ids)
