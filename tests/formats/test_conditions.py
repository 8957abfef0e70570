"""The conditions of a request as an array."""

import numpy as np
import pytest

from service.bundle.manifest import ColumnSpec, Manifest
from service.errors import InvalidInput
from service.formats.conditions import conditions_array
from tests.bundles import LABELLED, PLANE, tiny_manifest

LABEL = ColumnSpec(name="label", type="categorical", vocabulary=("cat", 3))
WEIGHT = ColumnSpec(name="weight")
SOLD = ColumnSpec(name="sold/lent", type="boolean")
WITHOUT = tiny_manifest(PLANE)


def manifest_with(*conditions: ColumnSpec) -> Manifest:
    return WITHOUT.model_copy(update={"name": "letters", "conditions": conditions})


def test_one_condition_holds_for_all_rows_and_a_list_for_one_each() -> None:
    found = conditions_array(
        {"label": "cat", "weight": [0.5, 2, -1]}, manifest_with(LABEL, WEIGHT), 3
    )

    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, 0.5], [0, 2], [0, -1]])


def test_a_model_without_conditions_takes_none() -> None:
    assert conditions_array(None, WITHOUT, 3) is None
    assert conditions_array({}, WITHOUT, 3) is None
    with pytest.raises(InvalidInput, match="model plane takes no conditions; leave them out"):
        conditions_array({"label": "cat"}, WITHOUT, 3)


@pytest.mark.parametrize(
    ("conditions", "pointer", "detail"),
    [
        (None, "/conditions/label", "model letters needs the condition label"),
        ({"label": "cat"}, "/conditions/weight", "model letters needs the condition weight"),
        (
            {"label": "cat", "weight": 1, "sold/lent": True, "color": "red"},
            "/conditions",
            "unknown condition; model letters takes the conditions label, weight, sold/lent",
        ),
        (
            {"label": ["cat"], "weight": 1, "sold/lent": True},
            "/conditions/label",
            "the condition label has 1 values for 2 rows; give one for all or one each",
        ),
        (
            {"label": [], "weight": 1, "sold/lent": True},
            "/conditions/label",
            "the condition label has 0 values for 2 rows; give one for all or one each",
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
    with pytest.raises(InvalidInput) as caught:
        conditions_array(conditions, manifest_with(LABEL, WEIGHT, SOLD), 2)

    assert str(caught.value) == detail
    assert [error.pointer for error in caught.value.field_errors] == [pointer]


def test_conditions_of_the_tiny_conditional_model_are_its_vocabulary() -> None:
    found = conditions_array({"label": ["cat", "dog", 3]}, tiny_manifest(LABELLED), 3)

    np.testing.assert_array_equal(found, [[0], [1], [2]])
