"""The table from exceptions to answers is whole, and an answer says no more than it must."""

from collections.abc import Iterator

import orjson
import pytest

from service import errors
from service.api.problems import (
    INTERNAL_ERROR,
    MISTAKEN_REQUESTS,
    PROBLEMS,
    Problem,
    detail_of,
    framework_problem,
    problem_body,
    problem_for,
    problem_headers,
)
from service.errors import (
    FieldError,
    LatentServeError,
    MethodNotAllowed,
    PathNotFound,
    RequestError,
)

# Raised where no request is under way: at start, or while a bundle is loaded.
NEVER_ANSWERED = (errors.ConfigurationError, errors.BundleError)


def subclasses(kind: type[LatentServeError]) -> Iterator[type[LatentServeError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def without_row() -> list[str]:
    """Name the errors of service/errors.py that a client can meet and the table does not know."""
    return [
        kind.__name__
        for kind in subclasses(LatentServeError)
        if kind.__module__ == errors.__name__
        and not issubclass(kind, NEVER_ANSWERED)
        and kind is not RequestError
        and kind not in PROBLEMS
    ]


def test_every_error_that_can_reach_a_client_has_a_row() -> None:
    assert without_row() == []


def test_a_new_error_without_a_row_would_be_seen() -> None:
    class NewError(RequestError):
        """Nobody has thought of it yet."""

    NewError.__module__ = errors.__name__
    try:
        assert without_row() == ["NewError"]
    finally:
        NewError.__module__ = __name__


def test_every_row_is_an_error_that_can_be_raised() -> None:
    known = set(subclasses(LatentServeError))

    assert PROBLEMS.keys() <= known
    assert not any(issubclass(kind, NEVER_ANSWERED) for kind in PROBLEMS)


def test_problems_have_names_of_their_own_and_say_what_to_do() -> None:
    problems = PROBLEMS.values()

    assert len({problem.slug for problem in problems}) == len(problems)
    assert len({problem.title for problem in problems}) == len(problems)
    for problem in problems:
        assert problem.slug == problem.slug.lower().replace("_", "-").replace(" ", "-")
        assert problem.advice.endswith(".")
        assert problem.type == f"/errors#{problem.slug}"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MalformedBody("a"), 400),
        (errors.ModelNotFound("a"), 404),
        (errors.VersionNotFound("a"), 404),
        (errors.ReportNotFound("a"), 404),
        (errors.NotAcceptable("a"), 406),
        (errors.CapabilityMissing("a"), 409),
        (errors.EmptyCalibration("a"), 409),
        (errors.BodyTooLarge("a"), 413),
        (errors.TooManyRows("a"), 413),
        (errors.UnsupportedMediaType("a"), 415),
        (errors.InvalidInput("a"), 422),
        (errors.ModelRequired("a"), 422),
        (errors.NonFiniteResult("a"), 422),
        (errors.ModelUnavailable("a"), 503),
        (errors.QueueFull("a", 1.0), 503),
        (errors.Draining("a"), 503),
        (errors.DeadlineExceeded("a"), 504),
        (errors.InferenceFailed("a"), 500),
        (errors.GoldenMismatch("a"), 500),
        (errors.ConfigurationError("a"), 500),
        (ZeroDivisionError("a"), 500),
        (MemoryError(), 500),
    ],
)
def test_an_error_has_its_status(error: Exception, status: int) -> None:
    assert problem_for(error).status == status


def test_an_error_without_a_row_of_its_own_takes_that_of_its_parent() -> None:
    class Narrower(errors.QueueFull):
        """A kind of full queue."""

    assert problem_for(Narrower("a", 1.0)) is PROBLEMS[errors.QueueFull]


def test_only_errors_meant_for_clients_speak_to_them() -> None:
    assert (
        detail_of(errors.QueueFull("3 rows wait", 1.0), PROBLEMS[errors.QueueFull]) == "3 rows wait"
    )
    for error in (errors.InferenceFailed("encoder.onnx: secret"), ValueError("secret")):
        assert detail_of(error, problem_for(error)) == INTERNAL_ERROR.title


def test_a_document_has_the_members_of_rfc_9457_and_two_of_ours() -> None:
    problem = PROBLEMS[errors.InvalidInput]
    field_errors = (FieldError("/inputs/3", "row 3 is short"), FieldError("", "all is wrong"))

    assert orjson.loads(problem_body(problem, "row 3 is short", "abc", field_errors)) == {
        "type": "/errors#invalid-input",
        "title": problem.title,
        "status": 422,
        "detail": "row 3 is short",
        "request_id": "abc",
        "errors": [
            {"pointer": "/inputs/3", "detail": "row 3 is short"},
            {"pointer": "", "detail": "all is wrong"},
        ],
    }


def test_a_document_names_ten_faults_at_most() -> None:
    field_errors = tuple(FieldError(f"/inputs/{row}", "wrong") for row in range(1000))

    written = orjson.loads(problem_body(INTERNAL_ERROR, "wrong", "abc", field_errors))

    assert [error["pointer"] for error in written["errors"]] == [f"/inputs/{n}" for n in range(10)]


def test_only_problems_that_pass_by_themselves_say_when_to_come_back() -> None:
    for problem in PROBLEMS.values():
        headers = dict(problem_headers(problem))
        assert (b"retry-after" in headers) == (problem.status == 503)


def test_statuses_of_the_framework_are_problems_too() -> None:
    assert framework_problem(404) is PROBLEMS[PathNotFound]
    assert framework_problem(405) is PROBLEMS[MethodNotAllowed]
    assert framework_problem(418) == Problem(418, "i'm-a-teapot", "I'm a Teapot", "")


def test_an_example_comes_last_and_only_where_there_is_one() -> None:
    body = problem_body(INTERNAL_ERROR, "wrong", "abc", (), {"model": "plane"})

    assert list(orjson.loads(body))[-2:] == ["errors", "example"]
    assert "example" not in orjson.loads(problem_body(INTERNAL_ERROR, "wrong", "abc"))


def test_mistakes_that_have_examples_are_answered() -> None:
    assert PROBLEMS.keys() >= MISTAKEN_REQUESTS
    assert all(400 <= PROBLEMS[kind].status < 500 for kind in MISTAKEN_REQUESTS)
