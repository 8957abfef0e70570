"""Errors of the framework's routes as problem documents."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service.api.methods import AllowedMethods
from service.api.middleware import PROBLEM, path_below_root
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
    ) -> Response:
        request.scope[PROBLEM] = problem.slug
        problem = problem.under(request.scope.get("root_path", ""))
        body = problem_body(problem, detail, request_id.get() or "", field_errors)
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
        if error.status_code == _METHOD_NOT_ALLOWED:
            methods = ", ".join(allowed.of(request.scope))
            return await _own(request, MethodNotAllowed(path_below_root(request.scope), methods))
        problem = framework_problem(error.status_code)
        response = respond(request, problem, problem.title)
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
