"""A small classifier of 28x28 images, trained here, that judges what autoencoders draw.

It shares nothing with any autoencoder but the training images. It is trained once per data set, in
under two minutes on two cores, and kept in the user's cache.
"""

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from service.inference.session import FloatArray
from training.data_files import cache_dir
from training.datasets import IntegerArray, load_dataset
from training.recipe import DatasetName

FEATURES = 64
EPOCHS = 3
BATCH_ROWS = 128
EVALUATION_ROWS = 500


class ImageClassifier:
    """Class probabilities, and the features they are computed from.

    Attributes:
        dataset: What it was trained on.
        test_accuracy: On the data set's own test images.
    """

    def __init__(self, dataset: DatasetName, model: Any, test_accuracy: float) -> None:
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


def image_classifier(dataset: DatasetName) -> ImageClassifier:
    """Return the classifier of a data set, trained now if it is not in the cache.

    Args:
        dataset: Of grey images of 28 by 28 pixels, with a test set of its own.
    """
    data = load_dataset(dataset)
    first_test_row = len(data.rows) - data.test_rows
    path = _cached(dataset)
    if path.is_file():
        model: Any = keras.models.load_model(path)
    else:
        model = _train(data.rows[:first_test_row], data.labels[:first_test_row], len(data.classes))
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    test_rows, test_labels = data.rows[first_test_row:], data.labels[first_test_row:]
    found = np.argmax(model.predict(test_rows, EVALUATION_ROWS, verbose=0), axis=1)
    return ImageClassifier(dataset, model, float((found == test_labels).mean()))


def _cached(dataset: DatasetName) -> Path:
    """Name the file after this module's text: another classifier is another file."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return cache_dir() / "classifiers" / f"{dataset}-{digest}.keras"


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
