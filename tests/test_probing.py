"""The probe's turns wait for the probe's own copies."""

from fake_clocks import OneCopy, Stream
from stage import ScriptedMeter

from lnbench.measure.cuda import CudaSampler, wait_for_device
from lnbench.worker.pace import Pace
from lnbench.worker.probing import ProbeTurns

COPY_S = 1e-3


def test_copies_are_done_when_their_length_is_chosen_and_when_they_are_warmed(monkeypatch):
    stream = Stream(launch_s=1e-6)
    pending = []

    def copy():
        pending.append(stream.enqueue(COPY_S))

    def wait():
        stream.wait()
        pending.clear()

    most = []
    sampler = CudaSampler(stream, now=stream.host)
    real = sampler.sample_copy

    def sample_copy(copies, name, calls):
        most.append(len(pending))
        sample = real(copies, name, calls)
        pending.clear()
        return sample

    monkeypatch.setattr(sampler, "sample_copy", sample_copy)
    probe = ProbeTurns(OneCopy(copy), sampler, ScriptedMeter(), wait=wait)
    probe.choose_calls()
    chosen = len(pending)
    probe.take(Pace(2e-3))

    assert chosen == 0
    # Copies that are only enqueued would still be at work, and run in the sample's place.
    assert most
    assert set(most) == {0}


def test_a_device_is_waited_for_on_all_its_streams_and_the_cpu_not_at_all(monkeypatch):
    waited = []
    monkeypatch.setattr("torch.cuda.synchronize", waited.append)

    wait_for_device("cuda:1")
    wait_for_device("cpu")

    assert waited == ["cuda:1"]
