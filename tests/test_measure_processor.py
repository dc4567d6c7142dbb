"""Processors as the kernels of Linux and macOS describe them: two that differ never read alike."""

import platform
import subprocess
from itertools import combinations
from types import SimpleNamespace

import pytest

from lnbench.measure import processor
from lnbench.measure.processor import processor_name, processor_signature


def arm(part, variant="0x0", *, implementer="0x41", more=""):
    """A core of 64-bit ARM, as its kernel describes it: without a model."""
    return (
        "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: {variant}\nCPU part\t: {part}\n"
        f"CPU revision\t: 1\n{more}"
    )


def x86(name, *, model="85", stepping="7"):
    return (
        f"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: {model}\nmodel name\t: {name}\n"
        f"stepping\t: {stepping}\nflags\t\t: fpu\n"
    )


BOARD = "Hardware\t: BCM2835\nRevision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
RISC_V = "processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdc\n"
MACHINES = {
    "Neoverse N1": [arm("0xd0c", "0x3")] * 2,
    "Neoverse V1": [arm("0xd40", "0x1")] * 2,
    "Neoverse N1 of another variant": [arm("0xd0c", "0x1")] * 2,
    "the same part of another implementer": [arm("0xd0c", "0x3", implementer="0x48")] * 2,
    "big.LITTLE": [arm("0xd05", "0x1")] * 2 + [arm("0xd0a", "0x1")] * 2,
    "big.LITTLE with other big cores": [arm("0xd05", "0x1")] * 2 + [arm("0xd0b", "0x1")] * 2,
    "big.LITTLE with fewer big cores": [arm("0xd05", "0x1")] * 3 + [arm("0xd0a", "0x1")],
    "32-bit Cortex-A7": [arm("0xc07", more="model name\t: ARMv7 Processor rev 5 (v7l)\n")],
    "32-bit Cortex-A15": [arm("0xc0f", more="model name\t: ARMv7 Processor rev 5 (v7l)\n")],
    "a board": [arm("0xd08")] * 4 + [BOARD],
    "RISC-V U74": [RISC_V + "mvendorid\t: 0x489\nmarchid\t\t: 0x7\nmimpid\t\t: 0x1\n"],
    "RISC-V C910": [RISC_V + "mvendorid\t: 0x5b7\nmarchid\t\t: 0x0\nmimpid\t\t: 0x0\n"],
    "POWER9": ["processor\t: 0\ncpu\t\t: POWER9, altivec supported\n"],
    "POWER10": ["processor\t: 0\ncpu\t\t: POWER10, altivec supported\n"],
    "Loongson": ["processor\t: 0\nModel Name\t: Loongson-3A5000\n"],
    "x86": [x86("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz")],
}


@pytest.fixture
def root(tmp_path):
    """A folder whose /proc/cpuinfo a test writes."""
    (tmp_path / "proc").mkdir()

    def write(blocks):
        (tmp_path / "proc/cpuinfo").write_text("\n".join(blocks))
        return tmp_path

    return write


def test_no_two_processors_have_the_same_name(root):
    names = {machine: processor_name(root(blocks)) for machine, blocks in MACHINES.items()}

    assert [(one, other) for one, other in combinations(names, 2) if names[one] == names[other]] == []


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ("Neoverse N1", "ARM implementer 0x41 part 0xd0c variant 0x3"),
        (
            "big.LITTLE",
            "2 x ARM implementer 0x41 part 0xd05 variant 0x1, 2 x ARM implementer 0x41 part 0xd0a variant 0x1",
        ),
        ("32-bit Cortex-A7", "ARMv7 Processor rev 5 (v7l), ARM implementer 0x41 part 0xc07 variant 0x0"),
        ("a board", "Raspberry Pi 4 Model B Rev 1.4"),
        ("RISC-V U74", "RISC-V vendor 0x489 architecture 0x7 implementation 0x1"),
        ("x86", "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz"),
    ],
)
def test_a_processor_has_the_name_that_the_kernel_gives_or_its_numbers(root, machine, name):
    assert processor_name(root(MACHINES[machine])) == name


def test_x86_of_one_name_differs_in_its_numbers(root):
    older, newer, same = (
        processor_signature(root([x86("Intel(R) Xeon(R) Processor", model=model)])) for model in ("85", "143", "143")
    )

    assert newer == same == "GenuineIntel family 6 model 143 stepping 7"
    assert older != newer


@pytest.mark.parametrize("blocks", [["processor\t: 0\n"], ["\x00"], []])
def test_a_kernel_that_describes_nothing_leaves_the_architecture(root, monkeypatch, blocks):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "processor", lambda: "")

    assert processor_name(root(blocks)) == platform.machine()
    assert processor_signature(root(blocks)) == ""


@pytest.mark.parametrize("brand", ["Apple M1", "Apple M4 Pro"])
def test_macos_names_its_processor_by_its_brand(tmp_path, monkeypatch, brand):
    asked = []

    def answer(command, **_):
        asked.append(command)
        return SimpleNamespace(stdout=f"{brand}\n")

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(processor.subprocess, "run", answer)

    assert processor_name(tmp_path) == brand
    assert asked == [["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]]


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.CalledProcessError(1, "sysctl")])
def test_macos_that_does_not_answer_leaves_what_python_knows(tmp_path, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(processor.subprocess, "run", refuse)

    assert processor_name(tmp_path) == "arm"
