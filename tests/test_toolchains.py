"""Compilers that generated code needs: a missing one, or missing headers, is `unsupported` with the way out."""

import sys
from types import SimpleNamespace

import pytest
from stage import judged, workload

from lnbench.errors import Unsupported
from lnbench.implementations import compiled, liger_norms, toolchains
from lnbench.planned import Status

REAL = "exit 0"
WITHOUT_HEADERS = "echo '<stdin>:1:10: fatal error: Python.h: No such file or directory' >&2; exit 1"
BROKEN = "echo 'cannot execute cc1' >&2; exit 1"


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch):
    """Nothing is remembered of other tests, and no variable names a compiler."""
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    toolchains.missing_cpp_compiler.cache_clear()
    toolchains.missing_triton_compiler.cache_clear()
    yield
    toolchains.missing_cpp_compiler.cache_clear()
    toolchains.missing_triton_compiler.cache_clear()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes these the only programs on the search path, with Triton there."""
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(knobs=SimpleNamespace(build=SimpleNamespace(impl=None))))
    monkeypatch.setenv("PATH", str(tmp_path))

    def programs(**bodies):
        for name, body in bodies.items():
            file = tmp_path / name.replace("xx", "++")
            file.write_text(f"#!/bin/sh\n{body}\n")
            file.chmod(0o755)

    return programs


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "a C compiler, by which Triton makes its launchers; gcc is not installed (or set CC)"),
        ({"gcc": WITHOUT_HEADERS}, "gcc does not find Python's headers (Python.h): install python3-dev"),
        ({"clang": WITHOUT_HEADERS}, "clang does not find Python's headers (Python.h)"),
        ({"gcc": BROKEN, "clang": REAL}, "gcc does not work: cannot execute cc1"),
        ({"gcc": REAL}, ""),
        ({"clang": REAL}, ""),
    ],
)
def test_triton_s_c_compiler_is_asked_for_with_python_s_headers(install, programs, reason):
    install(**programs)

    found = toolchains.missing_triton_compiler()

    assert reason in found
    assert bool(found) is bool(reason)


def test_triton_told_to_build_another_way_needs_no_compiler(install, monkeypatch):
    install()
    knobs = SimpleNamespace(build=SimpleNamespace(impl=lambda *_: "a.so"))
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(knobs=knobs))

    assert toolchains.missing_triton_compiler() == ""


def test_without_triton_that_is_what_is_missing(install, monkeypatch):
    install(gcc=REAL)
    monkeypatch.setitem(sys.modules, "triton", None)

    assert toolchains.missing_triton_compiler().startswith("Triton: ")


@pytest.mark.parametrize(
    "build",
    [
        *(compiled.layer_norm, compiled.rms_norm, compiled.batch_norm, compiled.add_rms_norm, compiled.dyt),
        *(liger_norms.layer_norm, liger_norms.rms_norm, liger_norms.add_rms_norm, liger_norms.dyt),
    ],
)
def test_whatever_compiles_triton_kernels_is_unsupported_without_a_c_compiler(install, build):
    install(gxx=REAL)

    with pytest.raises(Unsupported, match=r"needs a C compiler, .*gcc is not installed"):
        build(workload(8, 16, device="cuda", norm_mode="train"))


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "needs a C++ compiler; g++ is not installed (or set CXX)"),
        ({"gxx": WITHOUT_HEADERS}, "g++ does not find Python's headers (Python.h): install python3-dev"),
        ({"gxx": BROKEN}, "g++ does not work: cannot execute cc1"),
    ],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="there it is clang++")
def test_compiled_on_the_cpu_is_unsupported_without_a_c_plus_plus_compiler_or_python_s_headers(
    install, programs, reason
):
    install(**programs)

    outcome = judged("compiled", 8, 16)

    assert outcome.status is Status.UNSUPPORTED
    assert reason in outcome.reason
