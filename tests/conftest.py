"""Fixtures that several test files share."""

import pytest
from browsers import Opened, launched


@pytest.fixture
def one_thread():
    """PyTorch on one thread: small work is then fast and steady beside other processes."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of a file."""
    with launched() as found:
        yield found


@pytest.fixture
def opened(browser, files):
    """Opens a page by its name in `files`, a fixture of the test file; closed afterwards."""
    found = []

    def open_page(name, **context):
        found.append(Opened(browser, files[name], **context))
        return found[-1]

    yield open_page
    for page in found:
        page.close()
