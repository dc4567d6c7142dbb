"""What PyTorch on CUDA is built and set up with, from its files and the environment, without importing it."""

import pytest
from command import run_python

from lnbench.measure import cuda_setup
from lnbench.measure.cuda_setup import allocator_settings, cuda_versions


@pytest.fixture
def torch_files(tmp_path, monkeypatch):
    """A PyTorch whose version file a test writes, and the cuDNN packages beside it."""

    def write(text, **packages):
        for name, number in packages.items():
            folder = tmp_path / f"{name}-{number}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
        (tmp_path / "version.py").write_text(text)

    (tmp_path / "torch_init.py").write_text("raise ImportError('nobody asked for it')")
    spec = type("Spec", (), {"origin": str(tmp_path / "torch_init.py")})
    monkeypatch.setattr(cuda_setup, "find_spec", lambda name: spec if name == "torch" else None)
    monkeypatch.syspath_prepend(str(tmp_path))
    return write


def text(cuda):
    return f"from typing import Optional\n__all__ = ['cuda']\n__version__ = '2.13.0'\ncuda: Optional[str] = {cuda}\n"


def test_the_versions_of_cuda_and_cudnn_are_those_that_pytorch_is_built_for_and_came_with(torch_files):
    torch_files(text("'13.0'"), nvidia_cudnn_cu13="9.13.0.50", nvidia_cudnn_cu12="9.1.0.70")

    assert cuda_versions() == {"cuda": "13.0", "cudnn": "9.13.0.50"}


def test_a_build_that_brings_its_own_cudnn_tells_cuda_alone(torch_files):
    torch_files("cuda = '12.8'\n")

    assert cuda_versions() == {"cuda": "12.8"}


@pytest.mark.parametrize("content", [text("None"), "", "cuda_hint = '13.0'\n"])
def test_a_build_without_cuda_has_no_versions(torch_files, content):
    torch_files(content)

    assert cuda_versions() == {}


def test_pytorch_is_not_imported_for_its_versions(tmp_path):
    script = "import sys; from lnbench.measure.cuda_setup import *; cuda_versions(); print('torch' in sys.modules)"

    assert run_python(tmp_path, "-c", script).stdout.strip() == "False"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "default"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}, "expandable_segments:True"),
        (
            {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64, backend:native"},
            "backend:native,max_split_size_mb:64",
        ),
        (
            {"PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync", "PYTORCH_CUDA_ALLOC_CONF": "backend:native"},
            "backend:cudaMallocAsync",
        ),
        ({"PYTORCH_ALLOC_CONF": ""}, "default"),
        ({"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}, "no caching"),
        ({"PYTORCH_ALLOC_CONF": "/home/me/secret"}, "set"),  # a journal takes no paths from the environment
    ],
)
def test_settings_of_the_allocator_are_told_in_one_order(environ, told):
    assert allocator_settings(environ) == told
