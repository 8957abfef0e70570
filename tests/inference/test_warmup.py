"""What a run costs, and the limits that follow from it."""

import numpy as np

from service.arrays import FloatArray
from service.inference.session import RunStop, Session
from service.inference.warmup import BatchCosts, measure_batch_costs
from tests.graphs import LOOKUP, LOOKUP_SIGNATURE, lookup_rows


class CountingSession(Session):
    """A real session that remembers the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__(LOOKUP, LOOKUP_SIGNATURE)
        self.sizes: list[int] = []
        self.released_after = 0

    def run(self, *inputs: FloatArray, stop: RunStop | None = None) -> tuple[FloatArray, ...]:
        self.sizes.append(len(inputs[0]))
        return super().run(*inputs, stop=stop)

    def run_and_release_memory(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        self.released_after = len(self.sizes)
        return super().run_and_release_memory(*inputs)


def test_the_most_rows_within_a_cost_are_the_largest_measured_batch_that_fits() -> None:
    costs = BatchCosts({1: 0.001, 2: 0.0012, 4: 0.0016, 8: 0.003})

    assert costs.rows_within(0.0015) == 2
    assert costs.rows_within(0.0016) == 4
    assert costs.rows_within(1.0) == 8


def test_nothing_is_within_a_cost_that_one_row_exceeds() -> None:
    assert BatchCosts({1: 0.002}).rows_within(0.0015) == 0


def test_a_batch_is_useful_until_its_speed_is_near_the_best() -> None:
    flat = BatchCosts({1: 1.0, 2: 1.05, 4: 2.0, 8: 4.0})  # 1.0, 1.9, 2.0, 2.0 rows a second
    growing = BatchCosts({1: 1.0, 2: 1.1, 4: 1.3, 8: 1.7})

    assert flat.smallest_efficient_batch == 2
    assert growing.smallest_efficient_batch == 8


def test_measuring_meets_every_power_of_two_up_to_the_limit() -> None:
    session = CountingSession()
    costs = measure_batch_costs(session, [lookup_rows(3)], max_batch_rows=20)

    assert list(costs.seconds_by_rows) == [1, 2, 4, 8, 16]
    assert set(session.sizes) == {1, 2, 4, 8, 16}
    assert all(cost > 0 for cost in costs.seconds_by_rows.values())


def test_rows_are_repeated_to_make_batches() -> None:
    seen: list[FloatArray] = []

    class RememberingSession(CountingSession):
        def run(self, *inputs: FloatArray, stop: RunStop | None = None) -> tuple[FloatArray, ...]:
            seen.append(inputs[0])
            return super().run(*inputs, stop=stop)

    rows = lookup_rows(3)
    measure_batch_costs(RememberingSession(), [rows], max_batch_rows=4)

    assert np.array_equal(max(seen, key=len), rows[[0, 1, 2, 0]])


def test_the_memory_of_the_largest_batches_is_given_back_at_the_end() -> None:
    session = CountingSession()
    measure_batch_costs(session, [lookup_rows(3)], max_batch_rows=8)

    assert session.released_after == len(session.sizes) == 12
