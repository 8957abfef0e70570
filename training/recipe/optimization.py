"""How an objective is minimized: optimizer, schedule, early stopping, layer-wise stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from training.recipe.objective import ReconstructionLoss
from training.recipe.part import RecipePart


class Sgd(RecipePart):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    learning_rate: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False


class Adam(RecipePart):
    """Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015."""

    name: Literal["adam"]
    learning_rate: PositiveFloat = 0.001


class Rmsprop(RecipePart):
    """Tieleman and Hinton, lecture 6.5 of Neural networks for machine learning, 2012."""

    name: Literal["rmsprop"]
    learning_rate: PositiveFloat = 0.001


OptimizerPart = Annotated[Sgd | Adam | Rmsprop, Field(discriminator="name")]


class CosineSchedule(RecipePart):
    """The learning rate rises over the first epochs, then falls along a half cosine.

    Attributes:
        warmup_epochs: Epochs of linear rise from 0.
        final_fraction: Last learning rate as a fraction of the optimizer's.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017.
    """

    kind: Literal["cosine"]
    warmup_epochs: NonNegativeInt = 0
    final_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0


class EarlyStopping(RecipePart):
    """Training ends once the validation loss has not improved for ``patience_epochs``."""

    patience_epochs: PositiveInt
    minimum_improvement: Annotated[float, Field(ge=0)] = 0.0


class TrainingPart(RecipePart):
    """How the objective is minimized.

    Attributes:
        published_epoch: ``best`` by validation loss, or ``last``, to publish a network that
            overfits on purpose.
    """

    epochs: PositiveInt
    batch_rows: PositiveInt
    optimizer: OptimizerPart
    schedule: CosineSchedule | None = None
    early_stopping: EarlyStopping | None = None
    published_epoch: Literal["best", "last"] = "best"

    @model_validator(mode="after")
    def _schedule_fits_into_the_epochs(self) -> Self:
        if self.schedule is not None and self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"{self.schedule.warmup_epochs} warm-up epochs, expected fewer than the"
                f" {self.epochs} epochs of training"
            )
        return self


class LayerwiseStage(RecipePart):
    """Some layers of the model, fitted alone before the whole model is.

    A stage encodes the codes of the stage before and decodes them again: its encoder layers follow
    those of the stage before, its decoder layers precede them. Weights of earlier stages do not
    change, and rows are not corrupted.

    Attributes:
        encoder_layers: How many further layers of ``model.encoder``.
        decoder_layers: How many further layers of ``model.decoder``, counted from its end.
        reconstruction: Loss between the inputs and the outputs of the stage.
        training: How it is minimized.

    Source: Bengio et al., Greedy layer-wise training of deep networks, NIPS 2006.
    """

    encoder_layers: PositiveInt
    decoder_layers: PositiveInt
    reconstruction: ReconstructionLoss
    training: TrainingPart
