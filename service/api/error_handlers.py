"""Errors of the framework's routes as problem documents."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from service.api.authentication import may_use
from service.api.dialects.native.calls import CALLS
from service.api.dialects.native.examples import find_example
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
from service.errors import FieldError, InvalidInput, LatentServeError, RequestError
from service.log_config import request_id


def answer_errors_with_problems(app: FastAPI) -> None:
    """Have an application answer every error of its routes with a problem document."""

    def respond(
        problem: Problem,
        detail: str,
        field_errors: tuple[FieldError, ...] = (),
        error: BaseException | None = None,
        example: Mapping[str, Any] | None = None,
    ) -> Response:
        body = problem_body(problem, detail, request_id.get() or "", field_errors, example)
        headers = [problem_type(), *problem_headers(problem, error)]
        named = {name.decode(): value.decode() for name, value in headers}
        return Response(body, problem.status, named)

    @app.exception_handler(LatentServeError)
    async def _own(_: Request, error: LatentServeError) -> Response:
        problem = problem_for(error)
        field_errors = error.field_errors if isinstance(error, RequestError) else ()
        return respond(problem, detail_of(error, problem), field_errors, error)

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> Response:
        problem = framework_problem(error.status_code)
        detail, example = problem.title, None
        if error.status_code == HTTPStatus.NOT_FOUND:
            detail, example = _remedy_for_path(request)
        elif error.headers and "allow" in map(str.lower, error.headers):
            detail = f"the path takes {Headers(error.headers)['allow']}"
        response = respond(problem, detail, example=example)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        field_errors = tuple(
            FieldError("/" + "/".join(str(step) for step in item["loc"][1:]), item["msg"])
            for item in error.errors()
        )
        return respond(PROBLEMS[InvalidInput], field_errors[0].detail, field_errors)

    @app.exception_handler(Exception)
    async def _unexpected(_: Request, error: Exception) -> Response:
        problem = problem_for(error)
        return respond(problem, problem.title)


def _remedy_for_path(request: Request) -> tuple[str, Mapping[str, Any] | None]:
    """Say what a path that is not there probably meant, with a body for it if it is a call."""
    app: FastAPI = request.app
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    detail, meant = remedy_for_path(path, _methods(app), list(CALLS))
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
