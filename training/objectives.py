"""What training minimises: reconstruction losses, and the terms that families add to them."""

from collections.abc import Callable

from training.architectures.autoencoder import Autoencoder
from training.recipe import ObjectivePart
from training.tensors import Tensor, ops

RowLoss = Callable[[Tensor, Tensor], Tensor]


def binary_cross_entropy(targets: Tensor, outputs: Tensor) -> Tensor:
    """Mean binary cross-entropy per value, in nats.

    Args:
        targets: Scaled values in [0, 1], (rows, *row shape).
        outputs: Probabilities of the same shape.

    Returns:
        One loss per row, (rows,).
    """
    return _row_means(ops.binary_crossentropy(targets, outputs))


def mean_squared_error(targets: Tensor, outputs: Tensor) -> Tensor:
    """Mean squared difference per value, in squared scaled units; shapes as above."""
    return _row_means(ops.square(targets - outputs))


def mean_absolute_error(targets: Tensor, outputs: Tensor) -> Tensor:
    """Mean absolute difference per value, in scaled units; shapes as above."""
    return _row_means(ops.abs(targets - outputs))


RECONSTRUCTION_LOSSES: dict[str, RowLoss] = {
    "binary-cross-entropy": binary_cross_entropy,
    "mean-squared-error": mean_squared_error,
    "mean-absolute-error": mean_absolute_error,
}


def objective_terms(
    autoencoder: Autoencoder, objective: ObjectivePart, rows: Tensor, *, training: bool
) -> dict[str, Tensor]:
    """Compute the weighted terms of the objective; what is minimised is their sum.

    Args:
        autoencoder: The model.
        objective: The recipe's part.
        rows: Clean scaled rows, (rows, *row shape).
        training: Run layers as in training, and corrupt as in training.

    Returns:
        Each term by name, a scalar: its mean over the rows, times its weight.
    """
    corrupted = autoencoder.corrupt(rows, validating=not training)
    encoding = autoencoder.encode(corrupted, training=training)
    outputs = autoencoder.decode(autoencoder.training_codes(encoding), training=training)
    losses = RECONSTRUCTION_LOSSES[objective.reconstruction](rows, outputs)
    terms = {"reconstruction": objective.reconstruction_weight * ops.mean(losses)}
    divergences = autoencoder.divergence(encoding)
    if divergences is not None and objective.kl_weight is not None:
        terms["divergence"] = objective.kl_weight * ops.mean(divergences)
    return terms


def _row_means(values: Tensor) -> Tensor:
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)
