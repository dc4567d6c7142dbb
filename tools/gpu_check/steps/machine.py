"""The machine: packages, what is there, and what `lnbench doctor` says of it."""

import json
import shutil

from tools.gpu_check.bench import Bench
from tools.gpu_check.summary import Outcome, Result, passed_if

_FACTS = "FACTS "


def install(bench: Bench, limit_s: float) -> Outcome:
    """Packages that the machine lacks, from wheels; then lnbench's version."""
    wheels = sorted(bench.wheels.glob("*.whl")) if bench.wheels else []
    found: dict[str, object] = {"wheels": ["-".join(wheel.name.split("-")[:2]) for wheel in wheels]}
    if wheels:
        options = ("-q", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade", "--target")
        site = bench.out / "site"
        done = bench.commands.python("-m", "pip", "install", *options, site, *wheels, limit_s=limit_s)
        if done.code:
            return Outcome(Result.FAIL, {**found, "printed": done.text[-800:]})
    done = bench.commands.lnbench("--version", limit_s=limit_s)
    return passed_if(done.code == 0, {**found, "lnbench": done.last_line[:200]})


def look(bench: Bench, limit_s: float) -> Outcome:
    """Versions, the card, its conditions, and whether lnbench's clock of CUDA events starts."""
    if shutil.which("nvidia-smi") and not bench.rehearsal:
        bench.commands.run(["nvidia-smi", "-q", "-d", "CLOCK,POWER,PERFORMANCE,ECC,TEMPERATURE,MEMORY"], limit_s=20)
    done = bench.commands.python("-m", "tools.gpu_check.facts", _FACTS, limit_s=limit_s)
    line = next((line for line in done.text.splitlines() if line.startswith(_FACTS)), "")
    if not line:
        return Outcome(Result.FAIL, {"printed": done.text[-1500:]})
    found = json.loads(line.removeprefix(_FACTS))
    return passed_if(found["clock"] == "starts", found)


def doctor(bench: Bench, limit_s: float) -> Outcome:
    """`lnbench doctor`; 3 is its exit code for a machine that is unfit, which is a finding and no fault."""
    done = bench.commands.lnbench("doctor", "--seconds", "10", "--format", "json=doctor.json", limit_s=limit_s)
    try:
        told = json.loads((bench.work / "doctor.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Outcome(Result.FAIL, {"exit": done.code, "printed": done.text[-1500:]})
    return passed_if(done.code in {0, 3}, {"exit": done.code, "doctor": json.dumps(told)[:3000]})
