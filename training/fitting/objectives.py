"""The objective: reconstruction losses, KL divergence, penalties."""

from collections.abc import Callable

from training.fitting.penalties import penalty_term
from training.networks.autoencoder import Autoencoder
from training.recipe.objective import ObjectivePart
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
    autoencoder: Autoencoder,
    objective: ObjectivePart,
    rows: Tensor,
    conditions: Tensor | None = None,
    *,
    training: bool,
    kl_annealing_weight: float | Tensor = 1.0,
) -> dict[str, Tensor]:
    """Compute the weighted terms of the objective, which is their sum.

    Args:
        autoencoder: The model.
        objective: The recipe's part.
        rows: Clean scaled rows, (rows, *row shape).
        conditions: Shape (rows, 1) for a conditional model, else None.
        training: Run layers and corrupt rows as in training.
        kl_annealing_weight: Factor on the divergence's weight, in [0, 1].

    Returns:
        Each term by name, a scalar: its mean over the rows, times its weight.
    """
    corrupted = autoencoder.corrupt(rows, training=training, validating=not training)
    encoding = autoencoder.encode(corrupted, conditions, training=training)
    codes = autoencoder.training_codes(encoding)
    outputs = autoencoder.decode(codes, conditions, training=training)
    losses = RECONSTRUCTION_LOSSES[objective.reconstruction](rows, outputs)
    terms = {"reconstruction": objective.reconstruction_weight * ops.mean(losses)}
    divergences = autoencoder.unit_divergences(encoding)
    if divergences is not None and objective.kl_weight is not None:
        divergence = mean_divergence(divergences, objective.free_nats_per_unit)
        terms["divergence"] = objective.kl_weight * kl_annealing_weight * divergence
    for penalty in objective.penalties:
        term = penalty_term(penalty, autoencoder, corrupted, conditions, encoding[0])
        terms[penalty.kind] = penalty.weight * term
    return terms


def mean_divergence(unit_divergences: Tensor, free_nats_per_unit: float | None) -> Tensor:
    """Average divergences over rows and sum them over units.

    Args:
        unit_divergences: In nats, (rows, units).
        free_nats_per_unit: Lower bound on the mean of each unit: below it the gradient is 0, so
            that units do not collapse onto the prior.

    Returns:
        A scalar, in nats.

    Source: Kingma et al., Improved variational inference with inverse autoregressive flow,
        NIPS 2016 (free bits).
    """
    means = ops.mean(unit_divergences, axis=0)
    if free_nats_per_unit is not None:
        means = ops.maximum(means, free_nats_per_unit)
    return ops.sum(means)


def kl_annealing_weight(objective: ObjectivePart, epoch: int) -> float:
    """Return the factor on the divergence's weight in an epoch of training.

    Args:
        objective: The recipe's part.
        epoch: From 1.

    Returns:
        min(1, (epoch - 1) / kl_warmup_epochs); 1 without ``kl_warmup_epochs``.

    Source: Sønderby et al., Ladder variational autoencoders, NIPS 2016 (there called warm-up).
    """
    if objective.kl_warmup_epochs is None:
        return 1.0
    return min(1.0, (epoch - 1) / objective.kl_warmup_epochs)


def _row_means(values: Tensor) -> Tensor:
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)
