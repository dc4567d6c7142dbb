"""Files of this process's control group, of version 1 or 2."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
_CGROUPS = Path("sys/fs/cgroup")


def cgroup_files(controller: str, name: str, *, root: Path = ROOT) -> Iterator[Path]:
    """The files of this name that exist: those of the process's own groups, of the groups above, and of the roots.

    `root` stands in for / in tests.
    """
    base = root / _CGROUPS
    tops = [base, *(top for top in sorted(base.glob("*")) if controller in top.name.split(","))]
    found: dict[Path, None] = {}
    for number, controllers, path in _memberships(root):
        for top in tops[:1] if number == "0" else tops[1:] if controller in controllers.split(",") else ():
            folder = top / path.lstrip("/")  # which a container does not see: its own group is its root
            while folder != top:
                found[folder / name] = None
                folder = folder.parent
    found |= dict.fromkeys(top / name for top in tops)
    return (file for file in found if file.is_file())


def _memberships(root: Path) -> Iterator[tuple[str, str, str]]:
    """Number, controllers and path of each group that this process is in."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if ".." not in path:
            yield number, controllers, path
