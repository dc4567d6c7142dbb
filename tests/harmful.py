"""A plug-in of implementations that harm the process they run in, each in a way of its own."""

import ctypes
import os
import sys
import threading
from pathlib import Path

import torch

from lnbench import implementation

JOURNAL = Path(__file__).with_name("run") / "run.jsonl"
"""Where the journal of the run must lie for what waits until cases are being timed."""


def layer_norm(workload):
    """The honest kernel."""

    def forward(x, weight, bias):
        return torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)

    return forward


def stop():
    """Wait for what never comes."""
    threading.Event().wait()


@implementation("raises", function="layer_norm")
def raises(workload):
    def forward(x, weight, bias):
        raise ValueError("no norm today")

    return forward


@implementation("raises_in_builder", function="layer_norm")
def raises_in_builder(workload):
    return Path(__file__).with_name("tuned.bin").read_bytes()


@implementation("exits", function="layer_norm")
def exits(workload):
    def forward(x, weight, bias):
        sys.exit(0)

    return forward


@implementation("vanishes_late", function="layer_norm")
def vanishes_late(workload):
    honest = layer_norm(workload)

    def forward(x, weight, bias):
        if '"event":"turn"' in JOURNAL.read_text():
            os._exit(0)
        return honest(x, weight, bias)

    return forward


@implementation("segfaults", function="layer_norm")
def segfaults(workload):
    def forward(x, weight, bias):
        return ctypes.string_at(0)

    return forward


@implementation("hangs", function="layer_norm")
def hangs(workload):
    def forward(x, weight, bias):
        stop()

    return forward


@implementation("hangs_in_builder", function="layer_norm")
def hangs_in_builder(workload):
    stop()


@implementation("wrong", function="layer_norm")
def wrong(workload):
    honest = layer_norm(workload)

    def forward(x, weight, bias):
        return 1.01 * honest(x, weight, bias)

    return forward


@implementation("mutates", function="layer_norm")
def mutates(workload):
    honest = layer_norm(workload)

    def forward(x, weight, bias):
        y = honest(x, weight, bias)
        x.data.mul_(1.5)  # unseen by autograd
        return y

    return forward


@implementation("noisy", function="layer_norm")
def noisy(workload):
    """Prints a megabyte, part of which looks like a worker's messages, then leaves nobody a stdout."""
    sys.stdout.write('{"event": "idle"}\n' * 50_000)
    sys.stdout.flush()
    os.close(1)
    return layer_norm(workload)
