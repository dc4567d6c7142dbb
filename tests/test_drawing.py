"""How inputs are drawn: piece by piece, where they lie, and the same values as at once."""

from dataclasses import replace

import pytest
import torch
from stage import workload

from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.implementations.torch_layouts import drawn_pieces


@pytest.mark.parametrize("shape", [(1000,), (100, 7), (5, 3, 64), (16, 40), (2, 3, 5, 48), (1, 999), (33, 1)])
@pytest.mark.parametrize("most", [16, 64, 100, 10**6])
def test_drawing_in_pieces_draws_what_drawing_at_once_draws(shape, most):
    at_once = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    drawn, generator = torch.full(shape, torch.nan), torch.Generator().manual_seed(7)

    pieces = list(drawn_pieces(drawn, most))
    for piece in pieces:
        piece.copy_(torch.randn(piece.shape, generator=generator))

    assert torch.equal(drawn, at_once)
    assert len(pieces) == 1 or at_once.numel() > most


def test_a_long_tensor_is_drawn_in_pieces_of_no_more_than_was_asked_for():
    pieces = [piece.numel() for piece in drawn_pieces(torch.empty(8, 4, 1024), 2048)]

    assert pieces == [2048] * 16


def test_inputs_are_drawn_where_they_lie(monkeypatch):
    asked = []

    class Recorded(torch.Generator):
        def __new__(cls, device="cpu"):
            asked.append(str(device))
            return super().__new__(cls, device)

    monkeypatch.setattr(torch, "Generator", Recorded)
    on = workload(8, 16)
    arrays = TorchArrays(on, seed=3)
    arrays._slabs["x"] = replace(arrays._slabs["x"], memory=_Elsewhere())

    with pytest.raises(RuntimeError):  # this build of PyTorch has no generator there
        arrays.refill(4)

    assert asked == ["cpu", "cpu", "cuda:1"]


class _Elsewhere:
    """Memory of another device, as far as it is asked."""

    device = torch.device("cuda", 1)
