"""Overlays are mixtures of two images of one class."""

import numpy as np

from benchmarks.classifier import overlay


def test_an_overlay_holds_both_pictures_of_one_class_and_none_of_another() -> None:
    # Every picture has one pixel of its own; the first three are of class 0.
    rows = np.eye(6, dtype=np.float32).reshape(6, 6, 1, 1)
    labels = np.array([0, 0, 0, 1, 1, 1])

    overlays = overlay(rows, labels, np.random.default_rng(0)).reshape(6, 6)

    for row, label in zip(overlays, labels, strict=True):
        inked = np.flatnonzero(row)
        assert len(inked) == 2
        assert (labels[inked] == label).all()
        assert row[inked].min() >= 0.35
        assert row.sum() == np.float32(1)
