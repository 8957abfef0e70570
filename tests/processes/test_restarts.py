"""A worker that ends is started again, later each time it ends early, up to a limit."""

from service.processes.restarts import EARLY_EXIT_SECONDS, MAX_EARLY_EXITS, RestartPolicy


def test_delays_double_from_the_second_early_exit_until_it_is_given_up() -> None:
    policy = RestartPolicy(1)
    delays = [policy.delay_seconds(0, 0.1) for _ in range(MAX_EARLY_EXITS)]

    assert delays == [0.0, 0.2, 0.4, 0.8, 1.6, None]


def test_a_worker_that_has_lived_long_enough_is_started_at_once_and_begins_anew() -> None:
    policy = RestartPolicy(1)
    for _ in range(MAX_EARLY_EXITS - 1):
        policy.delay_seconds(0, 0.1)

    assert policy.delay_seconds(0, EARLY_EXIT_SECONDS) == 0.0
    assert policy.delay_seconds(0, 0.1) == 0.0


def test_early_exits_are_counted_for_each_worker() -> None:
    policy = RestartPolicy(2)
    for _ in range(MAX_EARLY_EXITS - 1):
        policy.delay_seconds(0, 0.1)

    assert policy.delay_seconds(1, 0.1) == 0.0
    assert policy.delay_seconds(0, 0.1) is None
