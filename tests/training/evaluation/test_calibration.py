import numpy as np
import pytest

from service.inference.scoring import conformal_p_values, threshold_at
from training.evaluation.calibration import calibrate
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.tensors import to_numpy


@pytest.mark.slow
def test_calibration_scores_are_those_of_the_rows_in_ascending_order(
    trained: TrainedModel, exported: ExportedModel
) -> None:
    part = trained.split.calibration

    scores = calibrate(exported, "reconstruction-error", part)

    outputs = to_numpy(trained.autoencoder.reconstruct(part.rows))
    direct = np.square(outputs - part.rows).mean(axis=(1, 2, 3))
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, np.sort(direct), rtol=1e-4)


def test_normal_test_rows_are_flagged_about_as_often_as_promised(
    trained: TrainedModel, exported: ExportedModel
) -> None:
    calibration = calibrate(exported, "reconstruction-error", trained.split.calibration)
    scores = exported.score("reconstruction-error", trained.split.test.rows)

    threshold = threshold_at(0.1, calibration)

    assert threshold is not None
    assert 0.04 < (scores > threshold).mean() < 0.18
    assert conformal_p_values(scores, calibration).mean() > 0.4
