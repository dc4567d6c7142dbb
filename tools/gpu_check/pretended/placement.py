"""Which memory is said to lie on the pretended GPU: a tag on storages, which views share and copies do not."""

from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from tools.gpu_check.pretended.device import PretendedDevice


class Placement:
    """The storages on a device, for as long as they live; the device counts how many bytes they are."""

    def __init__(self, device: PretendedDevice) -> None:
        self._device = device
        device.count_b = self._count_b
        # By the address of the storage's own object. The weak reference keeps that address from being given to another.
        self._storages: dict[int, tuple[Any, int]] = {}

    def holds(self, tensor: Tensor) -> bool:
        """True when a tensor's memory is on the device."""
        return storage_of(tensor) in self._storages

    def put(self, tensor: Tensor) -> None:
        """Say that a tensor's memory is on the device."""
        storage = tensor.untyped_storage()
        self._storages[storage_of(tensor)] = (StorageWeakRef(storage), storage.nbytes())
        self._device.note_peak()

    def take(self, tensor: Tensor) -> None:
        """Say that a tensor's memory is the host's."""
        self._storages.pop(storage_of(tensor), None)

    def _count_b(self) -> int:
        self._storages = {key: entry for key, entry in self._storages.items() if not entry[0].expired()}
        return sum(size_b for _, size_b in self._storages.values())


def storage_of(tensor: Tensor) -> int:
    """The address of the object behind a tensor's memory: the same for views of it."""
    return int(tensor.untyped_storage()._cdata)
