"""Calibration scores: those of held-out normal rows, which p-values are computed from."""

import numpy as np

from service.bundle.manifest import Name
from training.arrays import Scores
from training.data.splitting import Part
from training.export.exported_model import ExportedModel


def calibrate(exported: ExportedModel, score: Name, part: Part) -> Scores:
    """Score calibration rows, which nothing before has used, with the exported graph.

    Args:
        exported: The graphs, final.
        score: Name of the score.
        part: Normal rows.

    Returns:
        Their scores, ascending, float64, shape (n,).
    """
    return np.sort(exported.score(score, part.rows, part.conditions))
