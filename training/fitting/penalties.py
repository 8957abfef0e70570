"""Penalties on codes: L1 activity, KL sparsity, contraction."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import keras
import tensorflow as tf

from training.networks.autoencoder import Autoencoder
from training.recipe.objective import ContractivePenalty, KlSparsityPenalty, L1ActivityPenalty
from training.recipe.part import RecipePart
from training.tensors import Tensor, ops

# Keeps logarithms finite for units that are always or never active.
PROBABILITY_MARGIN = 1e-6
# Derivatives of activations as functions of their outputs.
_DERIVATIVES: dict[Any, Callable[[Tensor], Tensor]] = {
    keras.activations.sigmoid: lambda codes: codes * (1.0 - codes),
    keras.activations.tanh: lambda codes: 1.0 - ops.square(codes),
    keras.activations.linear: ops.ones_like,
}


@singledispatch
def penalty_term(
    penalty: RecipePart,
    autoencoder: Autoencoder,
    rows: Tensor,
    conditions: Tensor | None,
    codes: Tensor,
) -> Tensor:
    """Compute a penalty over one batch, without its weight.

    Args:
        penalty: The recipe's part.
        autoencoder: The model.
        rows: Scaled rows that were encoded, (rows, *row shape).
        conditions: Shape (rows, 1), or None.
        codes: Their codes, (rows, *code shape).

    Returns:
        A scalar.
    """
    raise NotImplementedError(f"no term for {type(penalty).__name__} of {autoencoder}")


@penalty_term.register
def _(
    penalty: L1ActivityPenalty,
    autoencoder: Autoencoder,
    rows: Tensor,
    conditions: Tensor | None,
    codes: Tensor,
) -> Tensor:
    del penalty, autoencoder, rows, conditions
    return l1_activity(codes)


@penalty_term.register
def _(
    penalty: KlSparsityPenalty,
    autoencoder: Autoencoder,
    rows: Tensor,
    conditions: Tensor | None,
    codes: Tensor,
) -> Tensor:
    del autoencoder, rows, conditions
    return kl_sparsity(codes, penalty.target_activation)


@penalty_term.register
def _(
    penalty: ContractivePenalty,
    autoencoder: Autoencoder,
    rows: Tensor,
    conditions: Tensor | None,
    codes: Tensor,
) -> Tensor:
    del penalty, codes
    return ops.mean(squared_jacobian_norms(autoencoder, rows, conditions))


def l1_activity(codes: Tensor) -> Tensor:
    """Sum of absolute values of a row's codes, as a mean over rows.

    Args:
        codes: Shape (rows, *code shape).
    """
    return ops.sum(ops.abs(codes)) / ops.cast(ops.shape(codes)[0], "float32")


def kl_sparsity(codes: Tensor, target_activation: float) -> Tensor:
    """KL(Bernoulli(target) || Bernoulli(mean activation)) in nats, summed over units.

    Args:
        codes: Activations in (0, 1), (rows, *code shape).
        target_activation: Mean activation over a batch at which the penalty is 0, in (0, 1).

    Source: Ng, Sparse autoencoder, CS294A lecture notes, Stanford 2011.
    """
    means = ops.mean(codes, axis=0)
    means = ops.clip(means, PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN)
    active = target_activation * ops.log(target_activation / means)
    inactive = (1.0 - target_activation) * ops.log((1.0 - target_activation) / (1.0 - means))
    return ops.sum(active + inactive)


def squared_jacobian_norms(
    autoencoder: Autoencoder, rows: Tensor, conditions: Tensor | None = None
) -> Tensor:
    """Squared Frobenius norm of the encoder's Jacobian at every row.

    In closed form for one sigmoid, tanh or linear layer; otherwise by automatic differentiation,
    one backward pass per unit of the code, with layers in inference mode, since batch
    normalization in training mode makes codes depend on other rows.

    Args:
        autoencoder: The model; of a variational one, the posterior means are differentiated.
        rows: Points of differentiation, scaled, (rows, *row shape).
        conditions: Shape (rows, 1), or None.

    Returns:
        Sum over units and values of squared derivatives, (rows,).

    Source: Rifai et al., Contractive auto-encoders: explicit invariance during feature
        extraction, ICML 2011.
    """
    rows = tf.convert_to_tensor(rows)
    layer = _only_layer(autoencoder)
    if layer is not None:
        return _one_layer_norms(layer, autoencoder.encode(rows)[0])
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        codes = autoencoder.encode(rows, conditions)[0]
        codes = ops.reshape(codes, (ops.shape(codes)[0], -1))
    jacobians = tape.batch_jacobian(codes, rows)  # (rows, units, *row shape)
    return tf.reduce_sum(tf.square(jacobians), axis=list(range(1, len(jacobians.shape))))


def _only_layer(autoencoder: Autoencoder) -> keras.layers.Dense | None:
    """Return the dense layer of an encoder of one layer, if its derivative is in the table."""
    layers = [
        layer
        for layer in autoencoder.encoder.layers
        if not isinstance(layer, (keras.layers.InputLayer, keras.layers.Flatten))
    ]
    if len(layers) == 1 and isinstance(layers[0], keras.layers.Dense):
        return layers[0] if layers[0].activation in _DERIVATIVES else None
    return None


def _one_layer_norms(layer: keras.layers.Dense, codes: Tensor) -> Tensor:
    """Return the sum over units of squared derivative times squared norm of the kernel's column."""
    columns = ops.sum(ops.square(layer.kernel), axis=0)  # (units,)
    return ops.sum(ops.square(_DERIVATIVES[layer.activation](codes)) * columns, axis=-1)
