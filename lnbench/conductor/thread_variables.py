"""The variables by which a user's environment decides threads and cores, and what of them holds in a worker.

A worker's threads are the workload's, in every library alike, on all cores that the process may use. Affinity masks
(taskset, a batch system's cpuset, a container's) hold for all libraries and are left as they are.
"""

from collections.abc import Collection, Mapping

from lnbench.planned import Notice

COUNTS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "RAYON_NUM_THREADS",
    "NPROC",
)
"""Each library's own name for the number of threads. NPROC is where XLA's client for the CPU, which JAX uses, looks
(jaxlib 0.10)."""

BINDINGS = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "KMP_HW_SUBSET", "KMP_PLACE_THREADS")
"""They make the OpenMP library bind the main thread to one core when PyTorch is imported. PyTorch's own threads get a
core each, and every other pool of threads inherits the one."""

LIMITS = (
    "OMP_THREAD_LIMIT",
    "OMP_TEAMS_THREAD_LIMIT",
    "OMP_DYNAMIC",
    "OMP_NESTED",
    "OMP_MAX_ACTIVE_LEVELS",
    "KMP_ALL_THREADS",
    "KMP_DEVICE_THREAD_LIMIT",
    "KMP_TEAMS_THREAD_LIMIT",
    "KMP_DYNAMIC_MODE",
    "MKL_DYNAMIC",
    "MKL_DOMAIN_NUM_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "JAX_NUM_CPU_DEVICES",
)
"""They make one library use fewer threads than its own variable says, or more than all of them together."""

XLA_FLAGS = "XLA_FLAGS"
_XLA_THREADS = (
    "--xla_cpu_multi_thread_eigen",
    "--xla_force_host_platform_device_count",
    "intra_op_parallelism_threads",
    "inter_op_parallelism_threads",
)
"""The flags of XLA that decide threads; others are left as they are."""


def with_threads(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment in which every library uses so many threads, none of them bound to a core."""
    kept = {name: value for name, value in environment.items() if name not in (*BINDINGS, *LIMITS)}
    flags = " ".join(flag for flag in kept.pop(XLA_FLAGS, "").split() if not flag.startswith(_XLA_THREADS))
    if flags:
        kept[XLA_FLAGS] = flags
    return {**kept, **dict.fromkeys(COUNTS, str(threads))}


def asked_threads(environment: Mapping[str, str]) -> int | None:
    """The number of threads that OMP_NUM_THREADS asks for, of nested levels the outermost; None where it asks none."""
    first = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) or None if _is_number(first) else None


def thread_notices(environment: Mapping[str, str], threads: Collection[int], *, physical_cores: int) -> list[Notice]:
    """What a run's reader has to know of these variables, and of cores that threads share.

    threads: those of the run's workloads. Values are left out, since they may hold anything, but for
    numbers of threads.
    """
    found = []
    used = " and ".join(map(str, sorted(threads)))
    asked = asked_threads(environment)
    if asked is not None and set(threads) == {asked} and asked != physical_cores:
        text = f"{asked} threads, as OMP_NUM_THREADS says; this machine has {physical_cores} physical cores"
        found.append(Notice(code="threads-from-environment", text=text))
    bound = [name for name in BINDINGS if environment.get(name)]
    if bound:
        text = (
            f"{', '.join(bound)} would bind the threads of OpenMP and leave one core to every other library's; workers "
            "run without, so that all libraries use the same cores; taskset binds all of them alike"
        )
        found.append(Notice(code="thread-binding", text=text))
    refused = [_shown(name, environment[name]) for name in COUNTS if _differs(environment.get(name, ""), threads)]
    refused += [name for name in LIMITS if environment.get(name)]
    if with_threads(environment, 1).get(XLA_FLAGS, "") != " ".join(environment.get(XLA_FLAGS, "").split()):
        refused.append(f"thread flags in {XLA_FLAGS}")
    if refused:
        text = f"not in effect: {', '.join(refused)}; every library gets the workload's threads ({used})"
        found.append(Notice(code="thread-variables", text=text))
    crowded = [number for number in sorted(threads) if number > physical_cores]
    if crowded:
        text = (
            f"{' and '.join(map(str, crowded))} threads on {physical_cores} physical cores: some of them are hardware "
            "threads of one core and share its units"
        )
        found.append(Notice(code="shared-cores", text=text))
    return found


def _differs(value: str, threads: Collection[int]) -> bool:
    return bool(value) and any(value.strip() != str(number) for number in threads)


def _shown(name: str, value: str) -> str:
    return f"{name}={value.strip()}" if _is_number(value.strip()) else name


def _is_number(text: str) -> bool:
    """True for a whole number that may be one of threads; more digits are none, and Python refuses thousands."""
    return text.isascii() and text.isdigit() and len(text) < 10
