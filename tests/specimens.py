"""What is mutated: journals of every kind and age, suites, and what stands beside them."""

from pathlib import Path

import fabricate

from lnbench.condense import condense
from lnbench.events import EVENT
from lnbench.record import Baseline, Check, Header, Run
from lnbench.store.journal import journal_lines

SAMPLES = Path(__file__).parent / "samples"
SUITES = Path(__file__).parent.parent / "suites"


def judged_run() -> list[bytes]:
    """A journal of three processes: enough for verdicts, and for a baseline."""
    workloads = [fabricate.workload((1024, width)) for width in (64, 768)]
    cases = [fabricate.case(name, of=of) for of in range(2) for name in ("fused", "eager", "compiled")]
    turns = [
        *fabricate.noisy_turns({0: 1e-4, 1: 2e-4, 2: 1.1e-4}, processes=3, rounds=3, copy_s=5e-5),
        *fabricate.noisy_turns({3: 1e-4, 4: 2e-4, 5: 1.1e-4}, of=1, processes=3, rounds=3, copy_s=5e-5),
    ]
    return [line.model_dump_json().encode() for line in (fabricate.header(workloads, cases), *turns)]


def read_samples() -> list[list[bytes]]:
    """The journals that are mutated, line by line: of every schema version, a run, its baseline, a check."""
    header, *events = lines = judged_run()
    run = Run(header=Header.model_validate_json(header), events=tuple(map(EVENT.validate_json, events)))
    small = condense(run)
    check = Check(source="b", baseline=Baseline(digest="0" * 64, header=small.header, events=tuple(small.events)))
    checking = run.header.model_copy(update={"run_id": "check", "check": check}).model_dump_json().encode()
    confirming = b'{"event":"confirming","first_process":2,"cases":[0,1]}'
    return [
        *(file.read_bytes().splitlines() for file in sorted(SAMPLES.glob("*.jsonl"))),
        lines,
        journal_lines(small).encode().splitlines(),
        [checking, *events, confirming],
    ]


def read_suites() -> list[str]:
    """The suites that are mutated: the shipped ones, and one that uses every key."""
    rich = (
        "name: rich\ndescription: every key\nreference: fused\nimplementations: [eager, fused, batch_norm, "
        "{use: group_norm, as: gn4, options: {groups: 4}}]\nthresholds: {eager: 0.05}\nsampling: {processes: 3, "
        "precision: 0.01, budget_s: 1}\nexclude: [{dtype: bfloat16, implementation: eager}]\nworkloads:\n"
        "  - shapes: [[8, 128, 768], {shape: [32, 512], label: tiny}]\n    norm_dims: [1, 2]\n    dtypes: [float32, "
        "bfloat16]\n    devices: [cpu, cuda]\n    threads: [1, 2]\n    cache: [hot, cold]\n    allocators: system\n"
        "    layouts: [contiguous, expanded_dy]\n    gradients: [all, x]\n    autocast: [none, bfloat16]\n"
        "    affine: [both, none]\n    eps: [1e-5, 1.0e-6]\n    norm_modes: [train, eval]\n"
        "    phases: [inference, forward_backward]\n    thresholds: 0.1\n"
    )
    return [rich, *(file.read_text(encoding="utf-8") for file in sorted(SUITES.glob("*.yaml")))]


MATCHING_SUITE = (
    b"name: made\nimplementations: [fused, eager]\nworkloads: [{shapes: [[1024, 64], [1024, 768]], threads: 2}]\n"
)
OTHER_RUN = b"\n".join(judged_run()).replace(b"-made", b"-other") + b"\n"
