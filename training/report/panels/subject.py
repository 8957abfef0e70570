"""The run that a report is about, and selections of its rows that several panels use."""

from dataclasses import dataclass

import numpy as np

from training.arrays import FloatArray, IntegerArray
from training.evaluation.assessment import Assessment
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel


@dataclass(frozen=True)
class Subject:
    """A run: its model, graphs and assessment.

    Attributes:
        model: The trained model and its data.
        exported: Its graphs.
        assessment: What was measured of it.
    """

    model: TrainedModel
    exported: ExportedModel
    assessment: Assessment

    @property
    def kind(self) -> str:
        """``image``, ``series`` or ``tabular``."""
        return self.model.data.input.kind

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of one code."""
        return self.model.autoencoder.code_shape

    @property
    def variational(self) -> bool:
        """Whether codes are posterior means, with a standard normal prior."""
        return self.model.autoencoder.variational

    @property
    def test_rows(self) -> FloatArray:
        """Raw test rows, (rows, *row shape)."""
        return self.model.split.test.rows

    @property
    def test_labels(self) -> IntegerArray:
        """Class of each test row, (rows,)."""
        return self.model.split.test.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.model.data.classes

    @property
    def codes(self) -> FloatArray:
        """Codes of the test rows, flat: (rows, units)."""
        codes = self.assessment.results.codes
        return codes.reshape(len(codes), -1)

    def decode(self, codes: FloatArray, labels: IntegerArray | None = None) -> FloatArray:
        """Decode flat codes to raw rows, (rows, *row shape).

        Args:
            codes: Shape (rows, units).
            labels: Classes as the conditions of a conditional model, (rows,); by default the
                classes in turn. Other models ignore them.
        """
        shaped = codes.reshape(len(codes), *self.code_shape)
        if self.model.split.test.conditions is None:
            return self.exported.decode(shaped)
        if labels is None:
            labels = np.arange(len(codes)) % len(self.classes)
        return self.exported.decode(shaped, labels[:, np.newaxis].astype(np.float32))

    def thinned_test_rows(self, count: int) -> IntegerArray:
        """Return indices of at most ``count`` test rows, evenly spaced."""
        total = len(self.test_rows)
        return np.linspace(0, total - 1, min(total, count)).astype(np.int64)

    def test_rows_class_by_class(self, count: int) -> list[int]:
        """Return indices of test rows, one of each class in turn."""
        labels = self.test_labels
        by_class = [list(np.flatnonzero(labels == label)[:count]) for label in np.unique(labels)]
        turns = [rows[turn] for turn in range(count) for rows in by_class if turn < len(rows)]
        return [int(row) for row in turns[:count]]

    def column_names(self) -> list[str]:
        """Return the names of a table's columns; numbered ones if the data has no names."""
        spec = self.model.data.input
        if spec.columns is not None:
            return [column.name for column in spec.columns]
        return [f"column {number}" for number in range(1, spec.shape[0] + 1)]
