"""Small classifiers of 28x28 images, trained here, that judge what autoencoders draw.

They share nothing with any autoencoder but the training images. Each is trained once, in minutes on
two cores, and kept in the user's cache.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from service.arrays import FloatArray
from training.arrays import IntegerArray
from training.data.data_files import cache_dir
from training.data.reading import read_rows
from training.data.source_registry import open_source

FEATURES = 64
EPOCHS = 3
BATCH_ROWS = 128
EVALUATION_ROWS = 500
INK = 0.25  # a pixel darker than this is ink, when it is judged
INKS_OF_SINGLES = (0.05, 0.6)  # thin to fat strokes, as blurred and sharp pictures have them
INKS_OF_OVERLAYS = (0.1, 0.3)  # low enough that both pictures leave ink
OVERLAY_SHARES = (0.35, 0.65)


class ImageClassifier:
    """Class probabilities, and the features they are computed from.

    Attributes:
        dataset: What it was trained on.
        test_accuracy: On the data set's own test images.
    """

    def __init__(self, dataset: str, model: Any, test_accuracy: float) -> None:
        self.dataset = dataset
        self.test_accuracy = test_accuracy
        self._both: Any = keras.Model(
            model.inputs, [model.get_layer("features").output, model.outputs[0]]
        )

    def features(self, images: FloatArray) -> FloatArray:
        """Return the last hidden layer, (rows, 64)."""
        return self._predict(images)[0]

    def probabilities(self, images: FloatArray) -> FloatArray:
        """Return the probability of each class, (rows, classes)."""
        return self._predict(images)[1]

    def _predict(self, images: FloatArray) -> tuple[FloatArray, FloatArray]:
        features, probabilities = self._both.predict(images, EVALUATION_ROWS, verbose=0)
        return np.asarray(features, np.float32), np.asarray(probabilities, np.float32)


def image_classifier(dataset: str) -> ImageClassifier:
    """Return the classifier of a data set, trained now if it is not in the cache.

    Args:
        dataset: Of grey images of 28 by 28 pixels, with a test set of its own.
    """
    source = open_source(dataset)
    data, rows, labels = source.describe(), read_rows(source), source.labels()
    first_test_row = len(rows) - data.test_rows
    model = _cached(
        dataset,
        lambda: _train(rows[:first_test_row], labels[:first_test_row], len(data.classes)),
    )
    test_rows, test_labels = rows[first_test_row:], labels[first_test_row:]
    found = np.argmax(model.predict(test_rows, EVALUATION_ROWS, verbose=0), axis=1)
    return ImageClassifier(dataset, model, float((found == test_labels).mean()))


class InkClassifier:
    """Tells one digit from two laid over each other, by the shape of their ink alone.

    To a classifier of grey pictures, two eights laid over each other are an eight. This one has
    them as a class of their own, and sees pictures in two tones, so that a blurred stroke is a
    stroke and a pale one is not the mark of a mixture.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def probabilities(self, images: FloatArray) -> FloatArray:
        """Return the probability of each class and, last, of an overlay, (rows, classes + 1)."""
        found = self._model.predict(_ink(images, INK), EVALUATION_ROWS, verbose=0)
        return np.asarray(found, np.float32)


def ink_classifier(dataset: str) -> InkClassifier:
    """Return the classifier of single digits and overlays, trained now if not in the cache.

    Args:
        dataset: Of grey images of 28 by 28 pixels, with a test set of its own.
    """
    source = open_source(dataset)
    data, labels = source.describe(), source.labels()
    first_test_row = len(labels) - data.test_rows
    rows, labels = read_rows(source)[:first_test_row], labels[:first_test_row]
    return InkClassifier(
        _cached(f"{dataset}-ink", lambda: _train_on_ink(rows, labels, len(data.classes)))
    )


def _train_on_ink(rows: FloatArray, labels: IntegerArray, classes: int) -> Any:
    random = np.random.default_rng(0)
    singles = _ink(rows, _draw(random, INKS_OF_SINGLES, len(rows)))
    overlays = overlay(rows, labels, random)
    overlays = _ink(overlays, _draw(random, INKS_OF_OVERLAYS, len(rows)))
    all_labels = np.concatenate([labels, np.full(len(overlays), classes, labels.dtype)])
    return _train(np.concatenate([singles, overlays]), all_labels, classes + 1)


def overlay(rows: FloatArray, labels: IntegerArray, random: np.random.Generator) -> FloatArray:
    """Mix every row with another of its class, in nearly equal shares.

    Args:
        rows: Shape (rows, height, width, 1).
        labels: Class of each row, (rows,).
        random: Decides the partners, and the share of each.

    Returns:
        Mixtures, in the order of ``rows``.
    """
    partners = np.empty(len(rows), np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        partners[members] = np.roll(members, 1)
    shares = _draw(random, OVERLAY_SHARES, len(rows))
    return np.asarray(shares * rows + (1 - shares) * rows[partners], np.float32)


def _ink(images: FloatArray, threshold: FloatArray | float) -> FloatArray:
    return (images > threshold).astype(np.float32)


def _draw(random: np.random.Generator, bounds: tuple[float, float], count: int) -> FloatArray:
    return np.asarray(random.uniform(*bounds, (count, 1, 1, 1)), np.float32)


def _cached(name: str, train: Callable[[], Any]) -> Any:
    """Load a model, or train and keep it; its name has this module's text in it."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    path = cache_dir() / "classifiers" / f"{name}-{digest}.keras"
    if path.is_file():
        return keras.models.load_model(path)
    model = train()
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def _train(rows: FloatArray, labels: IntegerArray, classes: int) -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model: Any = keras.Sequential(
        [
            keras.Input(rows.shape[1:]),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(FEATURES, activation="relu", name="features"),
            layers.Dense(classes, activation="softmax"),
        ]
    )
    steps = EPOCHS * -(-len(rows) // BATCH_ROWS)
    schedule: Any = keras.optimizers.schedules.CosineDecay(0.003, steps)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    model.fit(rows, labels, BATCH_ROWS, EPOCHS, verbose=0)
    return model
