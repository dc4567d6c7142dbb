"""What every step of the check works with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.gpu_check.commands import Commands
from tools.gpu_check.summary import Outcome

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGINS = Path(__file__).resolve().parent / "plugins"


@dataclass(frozen=True)
class Bench:
    """The commands, the folders, and whether the GPU is a pretended one.

    out: what is kept. work: where runs are written, inside `out`. wheels: packages to install first; None for none.
    """

    commands: Commands
    out: Path
    work: Path
    rehearsal: bool
    wheels: Path | None = None

    def suite(self, name: str, text: str) -> Path:
        """A suite file in the work folder."""
        path = self.work / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path


@dataclass(frozen=True)
class Step:
    """A step of the check: `run` gets the seconds that it may take.

    limit_s: at most so many. least_s: with less time left it is skipped. is_required: it runs whichever steps are
    chosen, and nothing runs after it fails.
    """

    name: str
    run: Callable[[Bench, float], Outcome]
    limit_s: float
    least_s: float
    is_required: bool = False
