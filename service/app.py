"""The only composition root: makes an ASGI application from settings."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from fastapi import APIRouter, FastAPI

from service import __version__
from service.api import openapi
from service.api.asgi import InferenceOverAsgi
from service.api.authentication import AllowAll, Authenticator
from service.api.dependencies import AUTHENTICATED
from service.api.dialects.dialect import Dialect
from service.api.dialects.native.dialect import NativeDialect
from service.api.error_handlers import answer_errors_with_problems
from service.api.http1.limits import ConnectionLimits
from service.api.methods import AllowedMethods, MethodMiddleware
from service.api.middleware import Application, RecordMiddleware
from service.api.pipeline import Pipeline
from service.api.policy.request_policy import RequestPolicy
from service.api.routes import documentation, error_pages, health, metrics, models
from service.catalog.desired_state import desire_folder
from service.catalog.loading import LoadOptions
from service.catalog.reconciler import Reconciler
from service.catalog.verifier import Verifier
from service.catalog.verifying_process import VerificationLimits
from service.inference.processors import usable_processors
from service.inference.session import SessionOptions, choose_provider
from service.log_config import configure_logging
from service.metrics.recorder import Recorder
from service.metrics.segments import SharedMemory
from service.process_status import ProcessStatus
from service.settings import Settings


@dataclass(frozen=True)
class Service:
    """The parts of the service, made once and shared by all processes that are forked later.

    Attributes:
        app: The ASGI application.
        pipeline: Answers the six calls, for the application and for connections.
        connection_limits: What connections may take.
        reconciler: Loads and replaces the models, and holds the catalog of them.
        recorder: Counts requests and batches of this process.
        memory: What each process has counted.
        status: Which processes run, and how loaded they are.
    """

    app: Application
    pipeline: Pipeline
    connection_limits: ConnectionLimits
    reconciler: Reconciler
    recorder: Recorder
    memory: SharedMemory
    status: ProcessStatus


def create_app(settings: Settings) -> Application:
    """Make the application for one process.

    Args:
        settings: Everything that can be set.

    Raises:
        ConfigurationError: The models folder, a model that a setting names, or a provider is not
            there.
    """
    return create_service(settings).app


def create_service(
    settings: Settings, workers: int = 0, authenticator: Authenticator | None = None
) -> Service:
    """Make the service for one process, or for a supervisor and its workers.

    Args:
        settings: Everything that can be set.
        workers: Processes that will be forked. This process counts in the first segment of memory,
            worker ``n`` in segment ``n + 1``.
        authenticator: Decides who may do what; everyone may do everything when None.

    Raises:
        ConfigurationError: As ``create_app``.
    """
    configure_logging(settings.log_level, settings.log_format)
    authenticator = authenticator or AllowAll()
    memory = SharedMemory(workers + 1)
    status = ProcessStatus(max(1, workers))
    recorder = Recorder(memory.segments[0])
    reconciler = create_reconciler(settings, recorder)
    policy = RequestPolicy.of(settings)
    routes = FastAPI(
        title="latentserve",
        version=__version__,
        description="Autoencoders over HTTP.",
        openapi_url=None,  # it and its page are routes of this service
        redirect_slashes=False,
        generate_unique_id_function=attrgetter("name"),
        lifespan=_lifespan,
    )
    routes.state.reconciler = reconciler
    routes.state.memory = memory
    routes.state.authenticator = authenticator
    routes.state.status = status
    routes.openapi = partial(openapi.describe, routes)
    allowed = _include_routes(routes)
    answer_errors_with_problems(routes, allowed)
    observed = RecordMiddleware(
        MethodMiddleware(routes, allowed, policy),
        recorder,
        access_log=settings.access_log,
        policy=policy,
    )
    pipeline = Pipeline(
        create_dialects(settings), reconciler, settings, authenticator, recorder, policy
    )
    app = InferenceOverAsgi(observed, pipeline, policy)
    limits = ConnectionLimits.of(settings)
    return Service(app, pipeline, limits, reconciler, recorder, memory, status)


def _include_routes(app: FastAPI) -> AllowedMethods:
    """Include every route; return which methods their paths take."""
    routers: list[APIRouter] = []
    for module, dependencies in (
        (documentation, []),
        (models, [AUTHENTICATED]),
        (health, []),
        (metrics, [AUTHENTICATED]),
        (error_pages, []),
    ):
        app.include_router(module.router, dependencies=dependencies)
        routers.append(module.router)
    return AllowedMethods([route for router in routers for route in router.routes])


def create_dialects(settings: Settings) -> tuple[Dialect, ...]:
    """List the dialects that are spoken; the first that matches a path decides.

    Args:
        settings: Everything that can be set.
    """
    limits = settings.max_rows, settings.max_body_bytes, settings.max_response_bytes
    return (NativeDialect(*limits),)


def create_reconciler(settings: Settings, recorder: Recorder) -> Reconciler:
    """Find the configured bundles and decide how they will run; no bundle is loaded yet.

    Args:
        settings: Everything that can be set.
        recorder: Counts the runs of their graphs.

    Raises:
        ConfigurationError: As ``create_app``.
    """
    threads = settings.threads or max(1, usable_processors() // settings.workers)
    # Two batches side by side are faster than one batch that two threads share.
    provider = choose_provider(settings.providers)
    session = SessionOptions(provider, threads=1, tf32=settings.tf32)
    return Reconciler(
        desire_folder(
            settings.models_dir,
            default_model=settings.default_model,
            pinned_versions=settings.pinned_versions,
            required_models=settings.required_models,
        ),
        LoadOptions(
            session,
            threads,
            settings.max_batch_rows,
            settings.max_queue_rows,
            settings.max_bundle_bytes,
            settings.max_queue_seconds,
            recorder.graph,
        ),
        verifier=Verifier(_verification_limits(settings)),
        forget=recorder.forget,
    )


def _verification_limits(settings: Settings) -> VerificationLimits:
    return VerificationLimits(
        settings.verify_timeout_seconds,
        settings.verify_memory_bytes,
        settings.max_bundle_bytes,
        settings.max_batch_rows,
        side_by_side=max(1, usable_processors() // 2),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    reconciler: Reconciler = app.state.reconciler
    loading = asyncio.create_task(reconciler.reconcile())
    yield
    loading.cancel()
    await reconciler.close()
