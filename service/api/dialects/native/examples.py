"""Small requests that work, for the problems of a call and for its documentation."""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from service.api.dialects.native.calls import Call
from service.bundle.manifest import ColumnSpec, Manifest
from service.catalog.catalog import Catalog
from service.catalog.loading import LoadedModel
from service.errors import RequestError
from service.operations.table import ANOMALY_SCORE, supports

MAX_EXAMPLE_VALUES = 1024
"""Values of a row that a problem shows; ``GET /models/{name}`` shows larger ones."""
_FEW_VALUES = 64
_SAMPLES = 2
_MAX_EXACT = 2**53  # what JSON writes as an integer, and every reader takes as it is


def example_body(call: Call, model: LoadedModel) -> dict[str, Any]:
    """Return a JSON body that the call answers with this model: one row, flat, its digits few.

    Args:
        call: A call that the model serves.
        model: The model, which is named: there may be others.
    """
    key = (example_body, call)
    if key not in model.caches:
        model.caches[key] = _make_body(call, model)
    return model.caches[key]


def example_size(call: Call, model: LoadedModel) -> int:
    """Count the values of an example's row."""
    if call.rows_field is None:
        return 0
    spec = model.manifest.code if call.rows_field == "codes" else model.manifest.input
    return prod(spec.shape)


def example_conditions(manifest: Manifest) -> dict[str, str | int | bool]:
    """Return a value of each condition of a conditional model; else nothing."""
    return {column.name: _condition(column) for column in manifest.conditions or ()}


def models_serving(call: Call, catalog: Catalog) -> Iterator[LoadedModel]:
    """Find the models that answer a call, by their default versions; the default model first."""
    for name in sorted(catalog.names, key=lambda name: name != catalog.default_model):
        try:
            model = catalog.resolve(name, None)
        except RequestError:  # loading or refused
            continue
        if _answers(call, model.manifest):
            yield model


def find_example(call: Call, catalog: Catalog, name: str | None) -> dict[str, Any] | None:
    """Return a body that works, if a model serves the call and its rows are not too large.

    Args:
        call: The call.
        catalog: The models.
        name: The model that a request named, if it named any: taken where it serves the call.
    """
    model = _choose_model(call, catalog, name)
    if model is None or example_size(call, model) > MAX_EXAMPLE_VALUES:
        return None
    return example_body(call, model)


def _choose_model(call: Call, catalog: Catalog, name: str | None) -> LoadedModel | None:
    if name is not None:
        try:
            model = catalog.resolve(name, None)
        except RequestError:
            pass
        else:
            if _answers(call, model.manifest):
                return model
    return next(models_serving(call, catalog), None)


def _answers(call: Call, manifest: Manifest) -> bool:
    if not supports(manifest, call.operation):
        return False
    if call.operation is not ANOMALY_SCORE or manifest.anomaly is None:
        return True
    return manifest.anomaly.scores[manifest.anomaly.default_score].calibration_rows > 0


def _make_body(call: Call, model: LoadedModel) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model.name}
    if call.rows_field is None:
        body["count"] = _SAMPLES
    else:
        body[call.rows_field] = [_codes(model) if call.rows_field == "codes" else _row(model)]
    if model.manifest.conditions:
        body["conditions"] = example_conditions(model.manifest)
    return body


def _row(model: LoadedModel) -> list[Any]:
    """Return the bundle's example; tables as they are, since a category may be a long number."""
    values: list[Any] = list(model.manifest.example)
    return values if model.manifest.input.columns else _shortened(values)


def _codes(model: LoadedModel) -> list[float | int]:
    """Return the mean of the default prior, or of one of its components: codes that rows have."""
    spec = model.manifest.priors
    if spec is None:
        return [0] * prod(model.manifest.code.shape)
    prior = model.autoencoder.priors[spec.default]
    return _shortened(prior.draw(1, np.random.default_rng(0), temperature=0.0).ravel().tolist())


def _shortened(values: list[float]) -> list[float | int]:
    digits = 4 if len(values) <= _FEW_VALUES else 2
    numbers = [float(f"{value:.{digits}g}") for value in values]
    return [
        int(number) if number.is_integer() and abs(number) < _MAX_EXACT else number
        for number in numbers
    ]


def _condition(column: ColumnSpec) -> str | int | bool:
    if column.vocabulary:
        return column.vocabulary[0]
    return False if column.type == "boolean" else 0
