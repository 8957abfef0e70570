"""Memory on the device and on the host, and graphs bound to it; here the device is the CPU."""

from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.errors import InferenceFailed
from service.inference.buffers import DeviceBuffer, HostBuffer
from service.inference.session import Session
from tests.graphs import BAD_ROW, LOOKUP, LOOKUP_SIGNATURE, lookup, lookup_rows


def test_a_bound_graph_reads_and_writes_at_the_places_it_is_bound_to() -> None:
    session = Session(LOOKUP, LOOKUP_SIGNATURE)
    device, host = DeviceBuffer((3, 2), "cpu"), HostBuffer((3, 2), "cpu")
    binding = session.bind([device], [host])

    for seed in range(3):
        rows = lookup_rows(3, seed)
        device.fill(rows)
        binding.run()
        np.testing.assert_array_equal(host.numbers, lookup(rows))
        np.testing.assert_array_equal(device.read(), rows)


def test_what_is_read_from_a_device_is_a_copy() -> None:
    device = DeviceBuffer((1, 2), "cpu")
    device.fill(np.ones((1, 2), np.float32))
    read = device.read()

    device.fill(np.zeros((1, 2), np.float32))

    np.testing.assert_array_equal(read, [[1, 1]])


def test_a_failure_of_a_bound_graph_is_translated() -> None:
    session = Session(LOOKUP, LOOKUP_SIGNATURE)
    device = DeviceBuffer((1, 2), "cpu")
    binding = session.bind([device], [HostBuffer((1, 2), "cpu")])
    device.fill(BAD_ROW)

    with pytest.raises(InferenceFailed, match=r"^lookup\.onnx: \w+$"):
        binding.run()
    with pytest.raises(InferenceFailed, match=r"^a copy to the device: \w+$"):
        device.fill(np.zeros((5, 7), np.float32))
    with pytest.raises(InferenceFailed, match=r"^2 numbers on cuda: \w+$"):
        DeviceBuffer((1, 2), "cuda")


def test_host_memory_is_page_locked_where_that_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Device:
        ep_name = "CUDAExecutionProvider"

        def memory_info(self, kind: Any) -> Any:
            asked.append(kind)
            return onnxruntime.OrtMemoryInfo(
                "Cpu", onnxruntime.OrtAllocatorType.ORT_DEVICE_ALLOCATOR, 0,
                onnxruntime.OrtMemType.DEFAULT,
            )  # fmt: skip

    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [Device()])

    refused = HostBuffer((2, 3), "cuda")  # onnxruntime has no allocator for that

    assert asked == [onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE]
    assert not refused.page_locked
    refused.numbers[...] = 7
    np.testing.assert_array_equal(refused.value.numpy(), np.full((2, 3), 7, np.float32))
    assert not HostBuffer((2, 3), "cpu").page_locked
