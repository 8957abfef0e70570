"""Recipes of every kind of autoencoder, small enough to be built and trained in a test."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.arrays import FloatArray
from training.data.scaling import fit_scaling
from training.export.fitted_scorer import FittedScorer
from training.export.graph_functions import GraphFunction, graph_functions
from training.export.scorers.reconstruction_error import ReconstructionError
from training.fitting.history import EpochRecord
from training.networks.autoencoder import Autoencoder
from training.networks.building import build_autoencoder
from training.recipe.files import parse_recipe
from training.recipe.recipe import Recipe

CATEGORIES = 3
SIDE = 8
STEPS = 6

_IMAGE_TAIL = [{"layer": "reshape", "shape": [SIDE, SIDE, 1]}]
_SIGMOID = {"layer": "dense", "units": SIDE * SIDE, "activation": "sigmoid"}
_FLAT = {"layer": "flatten"}
_VARIATIONAL = {"reconstruction": "binary-cross-entropy", "kl_weight": 0.1}


def _dense(units: int, activation: str = "linear") -> dict[str, Any]:
    return {"layer": "dense", "units": units, "activation": activation}


def _convolution(filters: int, stride: int = 1, activation: str = "relu") -> dict[str, Any]:
    return {
        "layer": "convolution",
        "filters": filters,
        "kernel": 3,
        "stride": stride,
        "activation": activation,
    }


_PLAIN: dict[str, Any] = {
    "family": "plain",
    "encoder": [_FLAT, _dense(12, "selu"), _dense(4)],
    "decoder": [_dense(12, "selu"), _SIGMOID, *_IMAGE_TAIL],
}
_SIGMOID_CODE: dict[str, Any] = {
    "family": "plain",
    "encoder": [_FLAT, _dense(6, "sigmoid")],
    "decoder": [_SIGMOID, *_IMAGE_TAIL],
}

# What differs from ``_BASE``, by kind.
KINDS: Mapping[str, Mapping[str, Any]] = {
    "dense": {"model": _PLAIN},
    "tied": {
        "model": {
            "family": "plain",
            "encoder": [_FLAT, _dense(12, "selu"), _dense(4)],
            "decoder": [
                {"layer": "tied-dense", "encoder_layer": 2, "activation": "selu"},
                {"layer": "tied-dense", "encoder_layer": 1, "activation": "sigmoid"},
                *_IMAGE_TAIL,
            ],
        }
    },
    "l1-sparse": {
        "model": _PLAIN,
        "objective": {
            "reconstruction": "binary-cross-entropy",
            "penalties": [{"kind": "l1-activity", "weight": 0.01}],
        },
    },
    "kl-sparse": {
        "model": _SIGMOID_CODE,
        "objective": {
            "reconstruction": "binary-cross-entropy",
            "penalties": [{"kind": "kl-sparsity", "weight": 0.05, "target_activation": 0.1}],
        },
    },
    "contractive": {
        "model": _PLAIN,
        "objective": {
            "reconstruction": "binary-cross-entropy",
            "penalties": [{"kind": "contractive", "weight": 0.01}],
        },
    },
    "layer-wise": {
        "model": _PLAIN,
        "layerwise": [
            {
                "encoder_layers": 2,
                "decoder_layers": 2,
                "reconstruction": "binary-cross-entropy",
                "training": {
                    "epochs": 2,
                    "batch_rows": 16,
                    "optimizer": {"name": "adam", "learning_rate": 0.01},
                },
            },
            {
                "encoder_layers": 1,
                "decoder_layers": 1,
                "reconstruction": "mean-squared-error",
                "training": {
                    "epochs": 3,
                    "batch_rows": 16,
                    "optimizer": {"name": "adam", "learning_rate": 0.01},
                },
            },
        ],
    },
    "gaussian-denoising": {
        "model": _PLAIN,
        "corruption": {"kind": "gaussian", "standard_deviation": 0.2, "clip": [0.0, 1.0]},
    },
    "masking-denoising": {
        "model": _PLAIN,
        "corruption": {"kind": "masking", "rate": 0.5, "clean_fraction": 0.5},
    },
    "convolutional": {
        "model": {
            "family": "plain",
            "encoder": [
                _convolution(4, activation="linear"),
                {"layer": "batch-normalization"},
                {"layer": "activation", "activation": "relu"},
                {"layer": "max-pool"},
                _convolution(2, stride=2),
            ],
            "decoder": [
                {"layer": "transposed-convolution", "filters": 4, "kernel": 3, "stride": 2},
                {"layer": "upsample"},
                _convolution(1, activation="sigmoid"),
            ],
        }
    },
    "variational": {
        "model": {
            "family": "variational",
            "encoder": [_FLAT, _dense(12, "selu")],
            "code_units": 2,
            "decoder": [_dense(12, "selu"), _SIGMOID, *_IMAGE_TAIL],
        },
        "objective": _VARIATIONAL | {"kl_warmup_epochs": 2, "free_nats_per_unit": 0.1},
    },
    "conditional": {
        "model": {
            "family": "variational",
            "encoder": [{"layer": "condition"}, _FLAT, _dense(12, "selu")],
            "code_units": 2,
            "decoder": [{"layer": "condition"}, _dense(12, "selu"), _SIGMOID, *_IMAGE_TAIL],
        },
        "objective": _VARIATIONAL,
        "data": {"conditions": "class"},
    },
    "recurrent": {
        "model": {
            "family": "plain",
            "encoder": [{"layer": "lstm", "units": 5}],
            "decoder": [
                {"layer": "repeat", "steps": STEPS},
                {"layer": "lstm", "units": 5, "sequences": True},
                _dense(2),
            ],
        },
        "objective": {"reconstruction": "mean-squared-error"},
    },
}


def tiny_recipe(kind: str, **changes: Any) -> Recipe:
    """Return the recipe of a kind; changes replace whole parts of it."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "description": "For a test.",
        "seed": 5,
        "data": {"dataset": "digits", "validation_rows": 8, "calibration_rows": 8, "test_rows": 8},
        "objective": {"reconstruction": "binary-cross-entropy"},
        "training": {
            "epochs": 4,
            "batch_rows": 16,
            "optimizer": {"name": "adam", "learning_rate": 0.01},
        },
    }
    kind_fields = {**KINDS[kind], **changes}
    kind_fields["data"] = {**fields["data"], **kind_fields.get("data", {})}
    return parse_recipe({**fields, **kind_fields}, kind)


def row_shape(kind: str) -> tuple[int, ...]:
    """Return the shape of the rows of a kind."""
    return (STEPS, 2) if kind == "recurrent" else (SIDE, SIDE, 1)


def tiny_rows(kind: str, count: int, seed: int = 0) -> FloatArray:
    """Draw rows in [0, 1] that depend on two hidden variables."""
    random = np.random.default_rng(seed)
    hidden = random.uniform(-1, 1, (count, 2))
    mixing = np.random.default_rng(99).normal(0, 2, (2, int(np.prod(row_shape(kind)))))
    flat = 1 / (1 + np.exp(-hidden @ mixing))
    return flat.astype(np.float32).reshape(count, *row_shape(kind))


def tiny_conditions(kind: str, count: int) -> FloatArray | None:
    """Return class after class for a conditional kind, (count, 1), else None."""
    if kind != "conditional":
        return None
    return (np.arange(count) % CATEGORIES).astype(np.float32)[:, np.newaxis]


def tiny_autoencoder(kind: str, **changes: Any) -> Autoencoder:
    """Build the autoencoder of a kind, with initial weights."""
    return build_autoencoder(tiny_recipe(kind, **changes), row_shape(kind), CATEGORIES)


def tiny_graphs(kind: str, autoencoder: Autoencoder) -> list[GraphFunction]:
    """Define the graphs of an autoencoder, without scaling."""
    scaling = fit_scaling("none", tiny_rows(kind, 8))
    scorer = FittedScorer("reconstruction-error", ReconstructionError(), {})
    return graph_functions(autoencoder, scaling, row_shape(kind), [scorer])


class NoProgress:
    """Progress that is not shown."""

    def step(self, epoch: int, fraction: float) -> None:
        """Ignore how far an epoch is."""

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Ignore a finished epoch."""


class Interruption:
    """Progress that raises KeyboardInterrupt after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs

    def step(self, epoch: int, fraction: float) -> None:
        """Let every batch pass."""

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Interrupt once enough epochs are done."""
        del record, best_epoch
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
