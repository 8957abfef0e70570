import numpy as np

from training.seeds import Stream, derived_seed, generator


def test_a_draw_follows_from_seed_stream_and_index_alone() -> None:
    first = generator(3, Stream.SHUFFLE, 7).permutation(20)
    generator(3, Stream.SHUFFLE, 6).permutation(20)
    again = generator(3, Stream.SHUFFLE, 7).permutation(20)

    np.testing.assert_array_equal(first, again)


def test_streams_indices_and_seeds_differ_from_each_other() -> None:
    drawn = [
        derived_seed(3, Stream.SHUFFLE, 7),
        derived_seed(3, Stream.SHUFFLE, 8),
        derived_seed(3, Stream.TRAINING_NOISE, 7),
        derived_seed(4, Stream.SHUFFLE, 7),
    ]

    assert len(set(drawn)) == 4
    assert all(0 <= seed < 2**31 for seed in drawn)
