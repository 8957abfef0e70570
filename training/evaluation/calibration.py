"""Scores of held-out normal rows, against which the service judges every other score."""

import numpy as np

from service.bundle.manifest import Name
from training.arrays import Scores
from training.data.splitting import Part
from training.export.exported_model import ExportedModel


def calibrate(exported: ExportedModel, score: Name, part: Part) -> Scores:
    """Score rows that nothing before has looked at, with the graph that will be served.

    Args:
        exported: The graphs, final.
        score: Name of the score.
        part: Normal rows.

    Returns:
        Their scores, ascending, float64, shape (n,).
    """
    return np.sort(exported.score(score, part.rows, part.conditions))
