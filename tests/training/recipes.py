"""Recipes that train in a second, and progress that is not shown."""

from typing import Any

from training.fitting.history import EpochRecord
from training.recipe.files import parse_recipe
from training.recipe.recipe import Recipe

DIGITS: dict[str, Any] = {
    "name": "digits-test",
    "description": "Digits <for> tests.",
    "seed": 11,
    "data": {
        "dataset": "digits",
        "validation_rows": 200,
        "calibration_rows": 300,
        "test_rows": 300,
    },
    "model": {
        "family": "plain",
        "encoder": [
            {"layer": "flatten"},
            {"layer": "dense", "units": 32, "activation": "selu"},
            {"layer": "dense", "units": 6},
        ],
        "decoder": [
            {"layer": "dense", "units": 64, "activation": "sigmoid"},
            {"layer": "reshape", "shape": [8, 8, 1]},
        ],
    },
    "corruption": {"kind": "gaussian", "standard_deviation": 0.2, "clip": [0.0, 1.0]},
    "objective": {"reconstruction": "binary-cross-entropy"},
    "training": {
        "epochs": 4,
        "batch_rows": 50,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
    },
    "code_density": {"components": [1, 2, 4]},
    "published": [
        {"metric": "binary-cross-entropy", "split": "test", "value": 0.123, "note": "by others"}
    ],
}
VARIATIONAL: dict[str, Any] = {
    "model": {
        "family": "variational",
        "encoder": [
            {"layer": "flatten"},
            {"layer": "dropout", "rate": 0.1},
            {"layer": "dense", "units": 16, "activation": "relu"},
        ],
        "code_units": 2,
        "decoder": [
            {"layer": "dense", "units": 64, "activation": "sigmoid"},
            {"layer": "reshape", "shape": [8, 8, 1]},
        ],
    },
    "objective": {
        "reconstruction": "binary-cross-entropy",
        "reconstruction_weight": 64,
        "kl_weight": 0.5,
    },
    "corruption": None,
}


def digits_recipe(**changes: Any) -> Recipe:
    """Return the recipe of the tests with some parts replaced; None takes a part out."""
    fields = {name: part for name, part in {**DIGITS, **changes}.items() if part is not None}
    return parse_recipe(fields, "of a test")


def with_training(**changes: Any) -> dict[str, Any]:
    """Return the training part with some fields replaced."""
    return {**DIGITS["training"], **changes}


class NoProgress:
    """Progress that is not shown."""

    def step(self, epoch: int, fraction: float) -> None:
        """Ignore it."""

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Ignore it."""
