"""The only composition root: settings in, an ASGI application out."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import __version__
from service.api import openapi
from service.api.asgi import InferenceOverAsgi
from service.api.authentication import AllowAll, Authenticator
from service.api.dependencies import AUTHENTICATED
from service.api.dialects.native.dialect import NativeDialect
from service.api.error_handlers import answer_errors_with_problems
from service.api.middleware import Application, RecordMiddleware
from service.api.pipeline import Pipeline
from service.api.routes import errors, health, metrics, models
from service.bundle.storage import find_bundles
from service.catalog.loading import LoadOptions
from service.catalog.registry import Registry
from service.errors import ConfigurationError
from service.inference.processors import usable_processors
from service.inference.session import SessionOptions, choose_provider
from service.log_config import configure_logging
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


def create_service(
    settings: Settings, segments: int = 1, authenticator: Authenticator | None = None
) -> Service:
    """Put the service together for several processes; the first segment is this one's.

    Args:
        settings: Everything that can be set.
        segments: Processes that count, each in its own segment of memory.
        authenticator: Decides who may do what; everyone may do everything when None.

    Raises:
        ConfigurationError: As ``create_app``.
    """
    configure_logging(settings.log_level, settings.log_format)
    authenticator = authenticator or AllowAll()
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
    routes.state.authenticator = authenticator
    routes.openapi = partial(openapi.describe, routes)
    for module in (health, errors):
        routes.include_router(module.router)
    for module in (models, metrics):
        routes.include_router(module.router, dependencies=[AUTHENTICATED])
    answer_errors_with_problems(routes)
    observed = RecordMiddleware(routes, recorder, access_log=settings.access_log)
    pipeline = Pipeline(
        (NativeDialect(settings.max_rows),), registry, settings, authenticator, recorder
    )
    return Service(InferenceOverAsgi(observed, pipeline), pipeline, registry, recorder, memory)


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
