"""Errors of the framework's routes as problem documents."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service.api.authentication import may_use
from service.api.dialects.native.calls import CALLS
from service.api.dialects.native.examples import find_example
from service.api.methods import AllowedMethods
from service.api.middleware import PROBLEM, path_below_root
from service.api.nearest_path import remedy_for_path
from service.api.problems import (
    PROBLEMS,
    Problem,
    detail_of,
    framework_problem,
    problem_body,
    problem_for,
    problem_headers,
    problem_type,
)
from service.errors import (
    FieldError,
    InvalidInput,
    LatentServeError,
    MethodNotAllowed,
    RequestError,
)
from service.log_config import request_id

_METHOD_NOT_ALLOWED = 405


def answer_errors_with_problems(app: FastAPI, allowed: AllowedMethods) -> None:
    """Have an application answer every error of its routes with a problem document.

    Args:
        app: The application.
        allowed: The methods that its paths take.
    """

    def respond(
        request: Request,
        problem: Problem,
        detail: str,
        field_errors: tuple[FieldError, ...] = (),
        error: BaseException | None = None,
        example: Mapping[str, Any] | None = None,
    ) -> Response:
        request.scope[PROBLEM] = problem.slug
        problem = problem.under(request.scope.get("root_path", ""))
        body = problem_body(problem, detail, request_id.get() or "", field_errors, example)
        headers = [problem_type(), *problem_headers(problem, error)]
        named = {name.decode(): value.decode() for name, value in headers}
        return Response(body, problem.status, named)

    @app.exception_handler(LatentServeError)
    async def _own(request: Request, error: LatentServeError) -> Response:
        problem = problem_for(error)
        field_errors = error.field_errors if isinstance(error, RequestError) else ()
        return respond(request, problem, detail_of(error, problem), field_errors, error)

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> Response:
        # The framework names the methods of the first route at a path alone.
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            methods = ", ".join(allowed.of(request.scope))
            (route, *_) = allowed.matching(request.scope)
            path: str = getattr(route, "path", "the path")  # never what a client wrote
            return await _own(request, MethodNotAllowed(path, methods))
        problem = framework_problem(error.status_code)
        detail, example = problem.title, None
        if error.status_code == HTTPStatus.NOT_FOUND:
            detail, example = _remedy_for_path(request)
        response = respond(request, problem, detail, example=example)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        field_errors = tuple(
            FieldError("/" + "/".join(str(step) for step in item["loc"][1:]), item["msg"])
            for item in error.errors()
        )
        problem = PROBLEMS[InvalidInput]
        return respond(request, problem, field_errors[0].detail, field_errors)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        problem = problem_for(error)
        return respond(request, problem, problem.title)


def _remedy_for_path(request: Request) -> tuple[str, Mapping[str, Any] | None]:
    """Say what a path that is not there probably meant, with a body for it if it is a call."""
    app: FastAPI = request.app
    detail, meant = remedy_for_path(path_below_root(request.scope), _methods(app), list(CALLS))
    if meant not in CALLS:
        return detail, None
    call, authenticator = CALLS[meant], app.state.authenticator
    example = find_example(call, app.state.reconciler.catalog, None)
    headers = dict(request.headers.raw)
    if example and may_use(authenticator, headers, call.operation.name, example["model"]):
        return detail, example
    return detail, None


def _methods(app: FastAPI) -> Mapping[str, str]:
    """Return every path there is, with its method."""
    if not hasattr(app.state, "methods"):
        paths: Mapping[str, Mapping[str, Any]] = app.openapi()["paths"]
        described = {path: next(iter(methods)).upper() for path, methods in paths.items()}
        app.state.methods = described | dict.fromkeys(("/docs", "/openapi.json"), "GET")
    return app.state.methods
