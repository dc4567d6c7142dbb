"""The pretended GPU of rehearsals behaves as a real one in what lnbench relies on."""

import json

import pytest
from command import run_python
from fake_clocks import HostClock

from tools.gpu_check.pretended.device import CYCLES_PER_S, MEMORY_B, MOST_QUEUED, RESERVED_B, PretendedDevice
from tools.gpu_check.pretended.importing import pretended_environment


def device_on(host):
    """A device whose time passes as the host's does: when it waits, and when it is said to take time."""
    return PretendedDevice(now=lambda: host.ns * 1e-9, pause=lambda seconds: host.take(seconds * 1e9 + 1))


def test_work_behind_a_spin_begins_when_the_spin_ends():
    host = HostClock()
    device = device_on(host)

    device.spin(round(2e-3 * CYCLES_PER_S))
    start = device.done_at(0)
    device.enqueue(1e-3)
    end = device.done_at(0)

    assert not device.is_done(start)
    assert end - start == pytest.approx(1e-3)
    device.synchronize()
    assert device.is_done(end)
    assert host.ns == pytest.approx(3e6, rel=1e-3)


def test_work_on_an_idle_device_begins_when_it_is_launched():
    host = HostClock()
    device = device_on(host)
    host.take(5e6)

    device.enqueue(1e-3)

    assert device.done_at(0) == pytest.approx(6e-3)


def test_a_launch_waits_where_the_queue_is_full():
    host = HostClock()
    device = device_on(host)
    device.spin(round(1e-2 * CYCLES_PER_S))

    for _ in range(MOST_QUEUED - 1):
        device.enqueue(1e-6)
    before = host.ns
    device.enqueue(1e-6)

    assert before == 0
    assert host.ns == pytest.approx(1e7, rel=1e-3)


def test_streams_run_side_by_side_unless_one_waits_for_an_event_of_the_other():
    device = device_on(HostClock())
    side = device.new_stream()
    device.enqueue(1e-3)

    device.stream = side
    device.enqueue(1e-4)
    apart = device.done_at(side)
    device.hold_back(side, device.done_at(0))
    device.enqueue(1e-4)

    assert apart == pytest.approx(1e-4)
    assert device.done_at(side) == pytest.approx(1.1e-3)


def test_the_peak_of_memory_stays_until_it_is_reset():
    device = device_on(HostClock())

    device.count_b = lambda: 300
    device.note_peak()
    device.count_b = lambda: 100

    assert device.peak_b == 300
    assert device.free_b == MEMORY_B - RESERVED_B - 100
    device.reset_peak()
    assert device.peak_b == 100


@pytest.mark.parametrize("call", ["synchronize", "spin", "is_done", "done_at", "wait_for"])
def test_nothing_runs_on_a_lost_device(call):
    device = device_on(HostClock())
    device.lose()

    with pytest.raises(RuntimeError, match="CUDA error: an illegal memory access was encountered"):
        getattr(device, call)(*([] if call == "synchronize" else [0]))


ON_CUDA = "device='cuda'"
EVENT = "torch.cuda.Event(enable_timing=True)"
PROBES = {
    # PyTorch's own checks of arguments.
    "torch.cuda.set_device('cuda')": "ValueError: Expected a torch.device with a specified index",
    "torch.cuda.set_device('cuda:0')": "None",
    "torch.cuda.set_device(1)": "RuntimeError: CUDA error: invalid device ordinal",
    "torch.cuda.set_device('cpu')": "ValueError: Expected a cuda device",
    "torch.cuda.get_device_properties('cuda').name": "Pretended GPU",
    "torch.cuda.get_device_properties(1)": "AssertionError: Invalid device id",
    "torch.cuda._sleep(1.5)": "TypeError",
    # Where tensors lie.
    f"torch.zeros(3, {ON_CUDA}).device": "cuda:0",
    f"torch.tensor([1.0], {ON_CUDA}).is_cuda": "True",
    f"type(torch.zeros(3, {ON_CUDA}) + 1) is torch.Tensor": "True",
    f"(torch.zeros(3, {ON_CUDA}) + 1)[:2].device": "cuda:0",
    f"torch.empty_like(torch.zeros(3, {ON_CUDA})).device": "cuda:0",
    f"torch.zeros(3, {ON_CUDA}).new_zeros(2).device": "cuda:0",
    f"torch.zeros(3, {ON_CUDA}).double().device": "cuda:0",
    f"torch.zeros(3, {ON_CUDA}).to('cuda', torch.float16).device": "cuda:0",
    f"torch.zeros(3, {ON_CUDA}).cpu().device": "cpu",
    f"torch.zeros(3, {ON_CUDA}).to(torch.zeros(2)).device": "cpu",
    "torch.zeros(3).to('cuda').device": "cuda:0",
    "torch.zeros(3).cuda().device": "cuda:0",
    "torch.nn.LayerNorm(4).to('cuda').weight.device": "cuda:0",
    "torch.zeros(3).device": "cpu",
    f"torch.randn(3, {ON_CUDA}, generator=torch.Generator('cuda').manual_seed(1)).device": "cuda:0",
    "norm(x, w)[0].device": "cuda:0",
    "torch.autograd.grad(norm(x, w)[0], w, norm(x, w)[0].detach())[0].device": "cuda:0",
    # What lies apart is not mixed.
    f"torch.zeros(3, {ON_CUDA}) + torch.zeros(3)": "RuntimeError: Expected all tensors to be on the same device",
    f"torch.equal(torch.zeros(3, {ON_CUDA}), torch.zeros(3))": "RuntimeError: Expected all tensors",
    f"torch.zeros(3, {ON_CUDA}).add(torch.tensor(1.0)).sum().item()": "3.0",
    f"torch.zeros(3, {ON_CUDA}).copy_(torch.ones(3)).sum().item()": "3.0",
    f"torch.zeros(3).copy_(torch.ones(3, {ON_CUDA})).device": "cpu",
    f"torch.zeros(3, {ON_CUDA})[torch.tensor([1])].device": "cuda:0",
    f"torch.zeros(3, {ON_CUDA}).numpy()": "TypeError: can't convert cuda:0 device type tensor to numpy",
    f"torch.zeros(3, {ON_CUDA}).cpu().numpy().sum()": "0.0",
    # Memory.
    f"torch.empty(1 << 42, {ON_CUDA})": "OutOfMemoryError: CUDA out of memory",
    "grown(lambda: torch.zeros(256, device='cuda'))": "(1024, 1024)",
    "grown(lambda: torch.zeros(256, device='cuda').view(16, 16)[3:])": "(1024, 1024)",
    "grown(lambda: torch.zeros(256, device='cuda').mul(2).sum())": "(4, 2048)",
    # Time.
    "pending(lambda end: end.query())": "False",
    "pending(lambda end: (torch.cuda.synchronize('cuda'), end.query())[1])": "True",
    "pending(lambda end: (x.sum().item(), end.query())[1])": "True",
    "pending(lambda end: end.elapsed_time(end))": "RuntimeError: Both events must be completed",
    f"{EVENT}.elapsed_time({EVENT})": "ValueError: Both events must be recorded",
    "torch.cuda.current_stream() == torch.cuda.default_stream()": "True",
    "on_a_side_stream()": "True",
    "torch.cuda.CUDAGraph()": "RuntimeError: the pretended GPU captures no CUDA graphs",
    # What shows that it is pretended.
    "importlib.metadata.version('torch').partition('+')[2]": "pretended",
    "importlib.util.find_spec('triton')": "None",
}
"""Expressions, and how their values, or the errors that they raise, begin."""

SCRIPT = """
import importlib.metadata, importlib.util, json
import torch

norm = lambda x, w: torch.native_layer_norm(x, (4,), w, None, 1e-5)
x, w = torch.randn(8, 4, device="cuda"), torch.ones(4, device="cuda", requires_grad=True)

def pending(ask):
    torch.cuda._sleep(200_000_000)
    end = torch.cuda.Event(enable_timing=True)
    end.record()
    try:
        return ask(end)
    finally:
        torch.cuda.synchronize()

def grown(make):
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    made = make()
    torch.zeros(0, device="cuda")
    return torch.cuda.memory_allocated() - before, torch.cuda.max_memory_allocated() - before

def on_a_side_stream():
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        inside = torch.cuda.current_stream()
    return inside == side and torch.cuda.current_stream() == torch.cuda.default_stream()

found = {}
for probe in PROBES:
    try:
        found[probe] = str(eval(probe))
    except Exception as error:
        found[probe] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """What each expression gave, in one process under the pretended GPU."""
    folder = tmp_path_factory.mktemp("probes")
    (folder / "probe.py").write_text(f"PROBES = {list(PROBES)!r}\n{SCRIPT}")
    done = run_python(folder, "probe.py", env=pretended_environment())
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("probe", PROBES)
def test_pytorch_on_the_pretended_gpu_answers_as_on_a_real_one(probed, probe):
    assert probed[probe].startswith(PROBES[probe])
