"""Errors of the framework's routes as problem documents."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

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
    ) -> Response:
        body = problem_body(problem, detail, request_id.get() or "", field_errors)
        headers = [problem_type(), *problem_headers(problem, error)]
        named = {name.decode(): value.decode() for name, value in headers}
        return Response(body, problem.status, named)

    @app.exception_handler(LatentServeError)
    async def _own(_: Request, error: LatentServeError) -> Response:
        problem = problem_for(error)
        field_errors = error.field_errors if isinstance(error, RequestError) else ()
        return respond(problem, detail_of(error, problem), field_errors, error)

    @app.exception_handler(HTTPException)
    async def _framework(_: Request, error: HTTPException) -> Response:
        problem = framework_problem(error.status_code)
        response = respond(problem, problem.title)
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
