"""Memory that graphs are bound to, on the device they run on and on the host.

With the session it is the onnxruntime adapter.
"""

# onnxruntime ships no type information; what passes this adapter is typed by hand.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
import ctypes
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from service.arrays import FloatArray
from service.inference.session import (
    ONNXRUNTIME_ERRORS,
    PROVIDERS,
    translated_errors,
)

import onnxruntime  # isort: skip  # after the session, which silences it


class DeviceBuffer:
    """Float32 numbers in the memory that a provider computes in.

    Attributes:
        value: onnxruntime's handle.
    """

    def __init__(self, shape: Sequence[int], provider: str) -> None:
        """Take memory.

        Args:
            shape: Of the numbers.
            provider: ``cpu`` or ``cuda``.

        Raises:
            InferenceFailed: There is not so much.
        """
        with translated_errors(f"{prod(shape)} numbers on {provider}"):
            self.value: Any = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                list(shape), np.float32, provider, 0
            )

    def fill(self, numbers: FloatArray) -> None:
        """Copy numbers of the buffer's shape to the device."""
        with translated_errors("a copy to the device"):
            self.value.update_inplace(numbers)

    def read(self) -> FloatArray:
        """Copy the buffer's numbers to the host."""
        with translated_errors("a copy from the device"):
            return np.array(self.value.numpy())


class HostBuffer:
    """Float32 numbers in the memory that a provider copies from and to.

    Page-locked where onnxruntime offers that for the provider: a device copies such memory by
    itself, without a stop at a buffer of its driver.

    Attributes:
        value: onnxruntime's handle.
        numbers: The same memory, for reading and writing.
        page_locked: Whether it is page-locked.
    """

    def __init__(self, shape: Sequence[int], provider: str) -> None:
        """Take memory; arguments and errors as ``DeviceBuffer``."""
        with translated_errors(f"{prod(shape)} numbers on the host"):
            self.value: Any = _page_locked_value(list(shape), provider)
            self.page_locked = self.value is not None
            if self.value is None:
                self.value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    list(shape), np.float32
                )
            memory: Any = (ctypes.c_float * prod(shape)).from_address(self.value.data_ptr())
        self.numbers: FloatArray = np.frombuffer(memory, np.float32).reshape(shape)


def _page_locked_value(shape: list[int], provider: str) -> Any:
    memory = _page_locked_memory(provider)
    if memory is None:
        return None
    try:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            shape, np.float32, memory_info=memory
        )
    except ONNXRUNTIME_ERRORS:  # the provider names such memory, but shares no allocator of it
        return None


def _page_locked_memory(provider: str) -> Any:
    for device in onnxruntime.get_ep_devices():
        if device.ep_name == PROVIDERS[provider]:
            return device.memory_info(onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE)
    return None
