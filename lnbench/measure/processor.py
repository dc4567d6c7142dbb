"""Which processor this is. Two that differ must never read alike: rows of different machines are not compared.

On 64-bit ARM the kernel gives numbers and no model name (py-cpuinfo issues 162 and 199 report the same).
"""

import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_NAMES = ("Model", "model name", "Model Name", "cpu model", "cpu")
"""Fields of /proc/cpuinfo that name the board, or the processor: on x86 and 32-bit ARM, LoongArch, MIPS, POWER."""

_NUMBERS: Sequence[Mapping[str, str]] = (
    {"CPU implementer": "ARM implementer", "CPU part": "part", "CPU variant": "variant"},
    {"mvendorid": "RISC-V vendor", "marchid": "architecture", "mimpid": "implementation"},
)
"""Fields that tell processors apart where the kernel names none, and the words for them. 32-bit ARM names only the
architecture, so they count there too."""

_X86: Mapping[str, str] = {"vendor_id": "", "cpu family": "family", "model": "model", "stepping": "stepping"}
"""The same for x86. They are no part of the name, which is enough on most machines and stands alone in old journals;
but clouds call several generations `Intel(R) Xeon(R) Processor`."""


def processor_name(root: Path = Path("/")) -> str:
    """The processor as the system names it, or by its numbers; each kind where there are several, as in big.LITTLE.

    `root` stands in for / in tests.
    """
    blocks = _blocks(root)
    name = next((block[field] for field in _NAMES for block in blocks if block.get(field)), "")
    is_board = any("Model" in block for block in blocks)
    told = [name, *(() if is_board else _kinds(blocks, *_NUMBERS))]
    return ", ".join(filter(None, told)) or _name_on_mac() or platform.processor() or platform.machine()


def processor_signature(root: Path = Path("/")) -> str:
    """The numbers that tell apart processors of one name; "" where the system gives none."""
    return ", ".join(_kinds(_blocks(root), _X86, *_NUMBERS))


def _blocks(root: Path) -> list[dict[str, str]]:
    """/proc/cpuinfo: the fields of each core, and those of the whole machine."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    pairs = ([line.partition(":") for line in block.splitlines()] for block in text.split("\n\n"))
    return [{key.strip(): value.strip() for key, _, value in block} for block in pairs]


def _kinds(blocks: Sequence[Mapping[str, str]], *numbers: Mapping[str, str]) -> Iterator[str]:
    """The kinds of core there are by their numbers, with how many of each where there are several."""
    for words in numbers:
        found = Counter(
            " ".join(f"{word} {block[field]}".strip() for field, word in words.items() if field in block)
            for block in blocks
            if next(iter(words)) in block
        )
        for kind, count in sorted(found.items()):
            yield kind if len(found) == 1 else f"{count} x {kind}"


def _name_on_mac() -> str:
    """`Apple M1` and the like: `platform.processor()` is `arm` on all of them."""
    if platform.system() != "Darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
