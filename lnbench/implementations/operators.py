"""PyTorch's custom operators, which a whole process shares: whose code runs after two plug-ins register one name."""

import sys
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lnbench.errors import PluginError

HINT = "PyTorch keeps one operator per name: call the function directly, or put a version into the name"


class Replaced(NamedTuple):
    """An operator that two plug-ins registered: PyTorch keeps the second, also for the code of the first.

    `owner`: the file of the second. `packages`: the top-level package that each body was defined in.
    """

    name: str
    owner: str
    packages: tuple[str, str]

    def error(self, owner: str = "") -> PluginError:
        """What to say about it; `owner`: who registered it last, where that is known better than by file."""
        text = f"{owner or self.owner}: registers the operator {self.name}, which another plug-in has registered"
        return PluginError(text, hint=HINT)


@dataclass
class Operators:
    """The operators seen so far. What was replaced once stays replaced for the life of the process."""

    _seen: dict[str, Any] = field(default_factory=dict)
    _replaced: dict[str, Replaced] = field(default_factory=dict)

    def look(self) -> list[Replaced]:
        """Compare with the look before, and give all that were replaced until now.

        One plug-in may register its own operator again, as a builder does that defines one per workload: that is the
        same code for everyone who calls it.
        """
        for name, operator in _registered().items():
            before = self._seen.get(name, operator)
            packages = _package(before), _package(operator)
            if before is not operator and not (packages[0] and packages[0] == packages[1]):
                self._replaced[name] = Replaced(name, _file(operator), packages)
            self._seen[name] = operator
        return list(self._replaced.values())


_operators = Operators()
"""Those of this process."""


def replaced_operators() -> list[Replaced]:
    """The operators that two plug-ins have registered since the process began.

    PyTorch 2.13 replaces an operator without a word. One may be registered as late as in a first call, so this is asked
    after every import, before every build, after the first calls, after verifying, and after timing. Between two
    plug-ins it has to be asked once, or the operator of the first is never seen.
    """
    return _operators.look()


def _registered() -> dict[str, Any]:
    """The custom operators of now, as far as this version of PyTorch lists them; none before it is loaded."""
    table: dict[str, Any] = getattr(sys.modules.get("torch._library.custom_ops"), "OPDEFS", {})
    return dict(table)


def _package(operator: Any) -> str:
    """The top-level package of an operator's body: a plug-in file's own, or an installed one; "" where unknown."""
    return str(getattr(_body(operator), "__module__", "") or "").partition(".")[0]


def _file(operator: Any) -> str:
    return str(getattr(getattr(_body(operator), "__code__", None), "co_filename", "") or "a plug-in")


def _body(operator: Any) -> Any:
    """The function that was registered; a name of PyTorch's own insides, so it may be missing."""
    return getattr(operator, "_init_fn", None)
