"""The doctor's trials of libraries, without the libraries."""

import os
from types import MappingProxyType

import pytest

from lnbench.examined import Trial
from lnbench.worker import trials
from lnbench.worker.trials import MEMORY_LIMITS, AbsentError, try_it


def tried(monkeypatch, trial):
    """The outcome of a trial, as the doctor reads it."""
    monkeypatch.setattr(trials, "TRIALS", MappingProxyType({"it": trial}))
    reading, writing = os.pipe()
    try:
        try_it(writing, "it")
        return Trial.model_validate_json(os.read(reading, 1 << 16))
    finally:
        os.close(reading)
        os.close(writing)


def test_frameworks_are_kept_from_taking_a_whole_gpu_before_they_are_imported(monkeypatch):
    for setting in MEMORY_LIMITS:
        monkeypatch.setenv(setting, "")  # so that it is set back afterwards
        monkeypatch.delenv(setting)

    found = tried(monkeypatch, lambda: " ".join(os.environ[setting] for setting in sorted(MEMORY_LIMITS)))

    assert sorted(MEMORY_LIMITS) == ["TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"]
    assert (found.status, found.detail) == ("works", "true false")


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")

    assert tried(monkeypatch, lambda: os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"]).detail == "true"


def absent():
    raise AbsentError("not installed")


def broken():
    raise SystemExit("no\nlicence")


@pytest.mark.parametrize(
    ("trial", "status", "detail"),
    [(absent, "absent", "not installed"), (broken, "fails", "SystemExit: no licence")],
)
def test_a_library_that_is_absent_or_broken_is_told_so(monkeypatch, trial, status, detail):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")

    found = tried(monkeypatch, trial)

    assert (found.status, found.detail) == (status, detail)
