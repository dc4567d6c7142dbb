"""CUDA devices by their names, with PyTorch's own checks of them, on a pretended driver."""

import pytest
import torch
from fake_clocks import Stream
from pretended_cuda import L2_B, pretend_cuda
from stage import Heard, OperationLog

from lnbench.events import WorkerStarted
from lnbench.measure.cuda import CudaSampler, TorchEventClock, use_device
from lnbench.worker.protocol import Setup
from lnbench.worker.session import Session


def test_torch_takes_no_device_without_an_index_for_the_current_one(monkeypatch):
    pretend_cuda(monkeypatch)

    with pytest.raises(ValueError, match="specified index"):
        torch.cuda.set_device("cuda")


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_device_is_made_the_current_one_by_its_index_or_else_the_first(monkeypatch, device, index):
    pretended = pretend_cuda(monkeypatch, devices=2)

    use_device(device)

    assert pretended.current == index


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_a_worker_starts_on_the_device_that_suites_name(monkeypatch, one_thread, device, index):
    pretended = pretend_cuda(monkeypatch, devices=2)
    heard = Heard()

    Session(heard, Setup(process=0, worker=0, device=device, threads=1, allocator="system"), started=0.0)

    (started,) = heard.of(WorkerStarted)
    assert (started.device, started.device_name) == (device, "a pretended GPU")
    assert pretended.current == index


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_the_event_clock_measures_on_the_device_that_suites_name(monkeypatch, device):
    stream = Stream(launch_s=1e-6, event_s=2e-6)
    pretended = pretend_cuda(monkeypatch, stream)

    sampler = CudaSampler(TorchEventClock(device), now=stream.host)

    assert pretended.current == 0
    assert sampler.empty_pair_s == pytest.approx(2e-6)


def test_displacing_reads_as_much_as_it_wrote_so_that_no_modified_line_is_left_in_the_cache(monkeypatch):
    pretend_cuda(monkeypatch)
    clock = TorchEventClock("cuda")

    with OperationLog([]) as log:
        clock.displace()

    (wrote, (written, *_), _), (read, (source, *_), _) = log.seen
    assert (wrote, read) == ("zero_", "sum")
    assert min(written.nbytes, source.nbytes) >= 2 * L2_B
    assert written.data_ptr() != source.data_ptr()


def test_the_kernels_that_displace_are_loaded_before_anything_is_timed(monkeypatch):
    pretended = pretend_cuda(monkeypatch)
    done, spins = [], pretended.stream.spins
    monkeypatch.setattr(TorchEventClock, "displace", lambda clock: done.append(len(spins)))

    TorchEventClock("cuda")

    assert done == [0]


def test_the_spin_is_calibrated_when_the_card_has_left_its_idle_clock(monkeypatch):
    pretended = pretend_cuda(monkeypatch)
    rising = iter([0.3e9, 0.3e9, 0.9e9, 1.5e9, 1.98e9])
    sleep = pretended.sleep

    def spin(cycles):
        pretended.cycles_per_s = next(rising, pretended.cycles_per_s)
        sleep(cycles)

    monkeypatch.setattr(torch.cuda, "_sleep", spin)
    clock = TorchEventClock("cuda")
    pretended.stream.spins.clear()
    pretended.cycles_per_s = 1.98e9
    monkeypatch.setattr(torch.cuda, "_sleep", sleep)

    clock.spin(4e-3)

    assert pretended.stream.spins == pytest.approx([4e-3], rel=0.01)
