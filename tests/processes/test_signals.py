"""When signals stop a service, and how a supervisor gets them."""

import os
import selectors
import signal

import pytest

from service.processes.signals import StopRequest, handled_signals

NOW = 1000.0


def test_without_a_signal_nothing_is_due() -> None:
    request = StopRequest(5.0)

    assert not request.received
    assert request.seconds_left(NOW) == float("inf")


@pytest.mark.parametrize("drain_seconds", [0.0, 5.0])
def test_sigterm_stops_a_service_after_its_draining_time(drain_seconds: float) -> None:
    request = StopRequest(drain_seconds)
    request.receive(signal.SIGTERM, NOW)

    assert request.received
    assert not request.interrupted
    assert request.seconds_left(NOW) == drain_seconds
    assert request.seconds_left(NOW + 2.0) == max(0.0, drain_seconds - 2.0)
    assert request.seconds_left(NOW + 60.0) == 0


def test_sigint_stops_a_service_at_once() -> None:
    request = StopRequest(5.0)
    request.receive(signal.SIGINT, NOW)

    assert request.interrupted
    assert request.seconds_left(NOW) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_draining(second: int) -> None:
    request = StopRequest(5.0)
    request.receive(signal.SIGTERM, NOW)
    request.receive(second, NOW + 1.0)

    assert request.seconds_left(NOW + 1.0) == 0
    assert request.count_of(second) == (2 if second == signal.SIGTERM else 1)


def test_a_later_sigterm_does_not_postpone_the_stop() -> None:
    request = StopRequest(5.0)
    request.receive(signal.SIGINT, NOW)
    request.receive(signal.SIGTERM, NOW + 1.0)

    assert request.seconds_left(NOW + 1.0) == 0


def test_a_signal_ends_a_wait_and_the_handlers_before_are_put_back() -> None:
    received = list[int]()
    before = signal.getsignal(signal.SIGTERM)
    with selectors.DefaultSelector() as selector, handled_signals(selector, received.append):
        os.kill(os.getpid(), signal.SIGTERM)
        (event,) = selector.select(60)
        event[0].data()
        assert selector.select(0) == []

    assert received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before
