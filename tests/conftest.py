"""Fixtures that several test files share."""

import pytest


@pytest.fixture
def one_thread():
    """PyTorch on one thread: small work is then fast and steady beside other processes."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
