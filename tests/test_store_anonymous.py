"""Lines that can be published tell nobody who ran what where."""

import sys
from pathlib import Path

import pytest

from lnbench.store import anonymous as module
from lnbench.store.anonymous import anonymous


@pytest.fixture(autouse=True)
def somebody(monkeypatch, tmp_path):
    """A user with a home, in a folder, on a host."""
    module._replaced.cache_clear()
    monkeypatch.setenv("HOME", "/data/people/ann")
    monkeypatch.setattr(module, "_user", lambda: "ann")
    monkeypatch.setattr("platform.node", lambda: "gpu-node-17")
    monkeypatch.setattr("pathlib.Path.cwd", lambda: Path("/data/people/ann/work"))
    yield
    module._replaced.cache_clear()


@pytest.mark.parametrize(
    ("line", "published"),
    [
        ("no file /data/people/ann/norms.py", "no file ~/norms.py"),
        ("no file '/data/people/ann/work/norms.py'", "no file './norms.py'"),
        (f"{sys.prefix}/lib/torch/nn.py, line 3", "<python>/lib/torch/nn.py, line 3"),
        ("/home/bob/x and /Users/bob/y", "~/x and ~/y"),
        ("/scratch/ann/tmp", "/scratch/<user>/tmp"),
        ("ann said so; planned, meant", "ann said so; planned, meant"),
        ("gpu-node-17: no space, gpu-node-170 has", "<host>: no space, gpu-node-170 has"),
        ("/data/people/annette and /data/people/ann", "/data/people/annette and ~"),
    ],
)
def test_folders_users_and_hosts_become_words_for_what_they_are(line, published):
    assert anonymous(line) == published


def test_a_host_that_is_called_like_a_word_changes_no_text(monkeypatch):
    module._replaced.cache_clear()
    monkeypatch.setattr("platform.node", lambda: "fused")

    assert anonymous('"implementation":"fused"') == '"implementation":"fused"'


def test_a_user_without_a_home_as_in_a_container_is_no_obstacle(monkeypatch):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", fail)

    assert anonymous("no file /data/people/ann/work/norms.py") == "no file ./norms.py"
