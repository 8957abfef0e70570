"""The files of a bundle other than its manifest."""

import io
from collections.abc import Mapping

import numpy as np

from service.bundle.manifest import CALIBRATION_FILE, GOLDEN_FILE, PRIORS_FILE, REPORT_FILE
from training.evaluation.assessment import Assessment
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.publishing.golden import golden_vectors

GOLDEN_ROWS = 4


def bundle_files(
    model: TrainedModel, exported: ExportedModel, assessment: Assessment, report: str
) -> dict[str, bytes]:
    """Return the content of every file of a bundle but the manifest, by name."""
    test = model.split.test
    conditions = None if test.conditions is None else test.conditions[:GOLDEN_ROWS]
    golden = golden_vectors(exported, test.rows[:GOLDEN_ROWS], conditions)
    return {
        **{signature.file: content for signature, content in exported.graphs.values()},
        CALIBRATION_FILE: _npz(assessment.calibration),
        PRIORS_FILE: _npz(exported.density.mixture.to_arrays()),
        GOLDEN_FILE: _npz(golden),
        REPORT_FILE: report.encode(),
    }


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # pyright: ignore[reportArgumentType]  # its allow_pickle is a bool
    return content.getvalue()
