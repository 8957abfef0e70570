"""uvicorn, started with the service's settings."""

from functools import partial

import uvicorn
from uvicorn.supervisors import Multiprocess

from service.app import create_app
from service.settings import Settings


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, in one process or in several that share the port.

    Args:
        settings: Everything that can be set.

    Raises:
        ConfigurationError: The service cannot be put together with these settings.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        partial(create_app, settings) if settings.workers > 1 else app,
        factory=settings.workers > 1,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )
    if settings.workers > 1:
        Multiprocess(config, sockets=[config.bind_socket()]).run()
    else:
        uvicorn.Server(config).run()
