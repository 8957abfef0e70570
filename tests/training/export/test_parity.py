import numpy as np
import pytest

from service.inference.session import Session
from training.arrays import FloatArray
from training.errors import ParityMismatch
from training.export.conversion import export_graph
from training.export.graph_functions import GraphFunction, graph_functions
from training.export.parity import check_parity, relative_deviation
from training.fitting.trained_model import TrainedModel
from training.tensors import Tensor


@pytest.fixture(scope="module")
def encoder(trained: TrainedModel) -> GraphFunction:
    return graph_functions(trained.autoencoder, trained.scaling, (8, 8, 1))[0]


@pytest.fixture(scope="module")
def session(encoder: GraphFunction) -> Session:
    return Session(export_graph(encoder), encoder.signature)


@pytest.fixture(scope="module")
def rows(trained: TrainedModel) -> FloatArray:
    return trained.split.validation.rows[:7]


def altered(encoder: GraphFunction, change: Tensor) -> GraphFunction:
    """Return a Keras function whose codes are not those of the exported graph."""
    return GraphFunction(
        encoder.name,
        encoder.signature,
        lambda inputs: tuple(change(output) for output in encoder.function(inputs)),
    )


def test_a_graph_is_as_good_as_its_largest_deviation(
    encoder: GraphFunction, session: Session, rows: FloatArray
) -> None:
    assert 0 <= check_parity(encoder, session, rows) < 1e-5


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("scaled", lambda codes: 1.001 * codes, r"encoder\.onnx: codes of 1 rows deviates"),
        ("not a number", lambda codes: codes * np.nan, "deviates from Keras by nan"),
        ("another shape", lambda codes: codes[:, :2], r"has shape \(1, 6\), in Keras \(1, 2\)"),
    ],
)
def test_a_graph_that_computes_something_else_is_rejected(
    name: str,
    change: Tensor,
    sentence: str,
    encoder: GraphFunction,
    session: Session,
    rows: FloatArray,
) -> None:
    del name
    with pytest.raises(ParityMismatch, match=sentence):
        check_parity(altered(encoder, change), session, rows)


def test_a_deviation_in_one_row_of_seven_is_found(
    encoder: GraphFunction, session: Session, rows: FloatArray
) -> None:
    def last_row_wrong(codes: Tensor) -> Tensor:
        return codes + (np.arange(len(codes)) == 6)[:, np.newaxis]

    with pytest.raises(ParityMismatch, match="of 7 rows deviates"):
        check_parity(altered(encoder, last_row_wrong), session, rows)


def test_deviations_are_relative_only_above_one() -> None:
    small, large = np.array([0.5], np.float32), np.array([200.0], np.float32)

    assert relative_deviation(small + 0.25, small) == pytest.approx(0.25)
    assert relative_deviation(large + 10, large) == pytest.approx(0.05)
