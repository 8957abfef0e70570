"""The conditions of a request as an array."""

import numpy as np
import pytest

from service.bundle.manifest import ColumnSpec
from service.errors import InvalidInput
from service.formats.conditions import conditions_array
from tests.bundles import LABELLED

LABEL = ColumnSpec(name="label", type="categorical", vocabulary=("cat", 3))
WEIGHT = ColumnSpec(name="weight")
SOLD = ColumnSpec(name="sold/lent", type="boolean")


def test_one_condition_holds_for_all_rows_and_a_list_for_one_each() -> None:
    found = conditions_array({"label": "cat", "weight": [0.5, 2, -1]}, (LABEL, WEIGHT), 3)

    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, 0.5], [0, 2], [0, -1]])


def test_a_model_without_conditions_takes_none() -> None:
    assert conditions_array(None, None, 3) is None
    assert conditions_array({}, None, 3) is None
    with pytest.raises(InvalidInput, match="the model takes no conditions"):
        conditions_array({"label": "cat"}, None, 3)


@pytest.mark.parametrize(
    ("conditions", "pointer", "detail"),
    [
        (None, "/conditions/label", "the model needs the condition label"),
        ({"label": "cat"}, "/conditions/weight", "the model needs the condition weight"),
        (
            {"label": "cat", "weight": 1, "sold/lent": True, "colour": "red"},
            "/conditions",
            "the model takes the conditions label, weight, sold/lent",
        ),
        (
            {"label": ["cat"], "weight": 1, "sold/lent": True},
            "/conditions/label",
            "1 conditions for 2 rows",
        ),
        (
            {"label": [], "weight": 1, "sold/lent": True},
            "/conditions/label",
            "0 conditions for 2 rows",
        ),
        (
            {"label": "dog", "weight": 1, "sold/lent": True},
            "/conditions/label",
            "the condition label has a category that is not in the vocabulary",
        ),
        (
            {"label": "cat", "weight": ["1", 2], "sold/lent": True},
            "/conditions/weight",
            "the condition weight has a string where a number is expected",
        ),
        (
            {"label": "cat", "weight": 1e300, "sold/lent": True},
            "/conditions/weight",
            "the condition weight has a value that is not finite as float32",
        ),
        (
            {"label": "cat", "weight": 10**400, "sold/lent": True},
            "/conditions/weight",
            "the condition weight has a value that is not finite as float32",
        ),
        (
            {"label": "cat", "weight": 1, "sold/lent": 1},
            "/conditions/sold~1lent",
            "the condition sold/lent has a number where a boolean is expected",
        ),
    ],
)
def test_wrong_conditions_are_named(
    conditions: dict[str, object] | None, pointer: str, detail: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        conditions_array(conditions, (LABEL, WEIGHT, SOLD), 2)

    assert str(refused.value) == detail
    assert [error.pointer for error in refused.value.field_errors] == [pointer]


def test_conditions_of_the_tiny_conditional_model_are_its_vocabulary() -> None:
    found = conditions_array({"label": ["cat", "dog", 3]}, LABELLED.conditions, 3)

    np.testing.assert_array_equal(found, [[0], [1], [2]])
