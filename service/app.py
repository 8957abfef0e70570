"""The only composition root: settings in, an ASGI application out."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from service import __version__
from service.api import openapi
from service.api.asgi import CallsOverAsgi
from service.api.authentication import AllowAll
from service.api.middleware import Application, RecordMiddleware
from service.api.pipeline import Pipeline
from service.api.problems import (
    PROBLEMS,
    Problem,
    detail_of,
    framework_problem,
    problem_body,
    problem_for,
    problem_headers,
)
from service.api.routes import errors, health, metrics, models
from service.bundle.storage import find_bundles
from service.catalog.loading import LoadOptions
from service.catalog.registry import Registry
from service.errors import ConfigurationError, FieldError, InvalidInput, LatentServeError
from service.inference.processors import usable_processors
from service.inference.session import SessionOptions, choose_provider
from service.log_config import configure_logging, request_id
from service.metrics.recorder import Recorder
from service.metrics.segments import SharedMemory
from service.settings import Settings


@dataclass(frozen=True)
class Service:
    """What is put together once, and shared by all processes that are forked afterwards.

    Attributes:
        app: The ASGI application.
        pipeline: Answers the six calls, for the application and for connections.
        registry: The models that it serves.
        recorder: What it counts with.
        memory: Where the numbers of all processes are.
    """

    app: Application
    pipeline: Pipeline
    registry: Registry
    recorder: Recorder
    memory: SharedMemory


def create_app(settings: Settings) -> Application:
    """Put the service together for one process.

    Args:
        settings: Everything that can be set.

    Raises:
        ConfigurationError: The models folder, a model or a provider that was asked for is not
            there.
    """
    return create_service(settings).app


def create_service(settings: Settings, segments: int = 1) -> Service:
    """Put the service together for several processes; the first segment is this one's.

    Args:
        settings: Everything that can be set.
        segments: Processes that count, each in its own segment of memory.

    Raises:
        ConfigurationError: As ``create_app``.
    """
    configure_logging(settings.log_level, settings.log_format)
    memory = SharedMemory(segments)
    recorder = Recorder(memory.segments[0])
    registry = create_registry(settings, recorder)
    routes = FastAPIOffline(
        title="latentserve",
        version=__version__,
        description="Autoencoders over HTTP.",
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    routes.state.registry = registry
    routes.state.memory = memory
    routes.openapi = partial(openapi.describe, routes)
    for module in (models, health, metrics, errors):
        routes.include_router(module.router)
    _answer_errors_with_problems(routes)
    observed = RecordMiddleware(routes, recorder, access_log=settings.access_log)
    pipeline = Pipeline(registry, settings, AllowAll(), recorder)
    return Service(CallsOverAsgi(observed, pipeline), pipeline, registry, recorder, memory)


def create_registry(settings: Settings, recorder: Recorder) -> Registry:
    """Find the configured bundles and decide how they will run; nothing is read yet.

    Args:
        settings: Everything that can be set.
        recorder: Counts the runs of their graphs.

    Raises:
        ConfigurationError: As ``create_app``.
    """
    if not settings.models_dir.is_dir():
        raise ConfigurationError(f"the models folder {settings.models_dir} does not exist")
    threads = settings.threads or max(1, usable_processors() // settings.workers)
    # Two batches side by side outrun one batch that two threads share.
    provider = choose_provider(settings.providers)
    session = SessionOptions(provider, threads=1, tf32=settings.tf32)
    return Registry(
        find_bundles(settings.models_dir),
        LoadOptions(
            session, threads, settings.max_batch_rows, settings.max_queue_rows, recorder.graph
        ),
        default_model=settings.default_model,
        pinned_versions=settings.pinned_versions,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    registry: Registry = app.state.registry
    loading = asyncio.create_task(registry.load_all())
    yield
    loading.cancel()
    await registry.close()


def _answer_errors_with_problems(app: FastAPI) -> None:
    def respond(
        problem: Problem, detail: str, field_errors: tuple[FieldError, ...] = ()
    ) -> Response:
        body = problem_body(problem, detail, request_id.get() or "", field_errors)
        headers = {name.decode(): value.decode() for name, value in problem_headers(problem)}
        return Response(body, problem.status, headers)

    @app.exception_handler(LatentServeError)
    async def _own(_: Request, error: LatentServeError) -> Response:
        problem = problem_for(error)
        return respond(problem, detail_of(error, problem), getattr(error, "field_errors", ()))

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
