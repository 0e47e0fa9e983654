"""Running the service: its database, and uvicorn with the same options for `cop serve`, the demo and the tests."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.embedded.cluster import Cluster
from cop.live.wire import MAX_CLIENT_BYTES
from cop.process import Server
from cop.settings import Settings
from cop.workers import FAILED, Supervisor
from layers.database import Database, migrate
from layers.errors import Unavailable

Result = TypeVar("Result")

OPTIONS: dict[str, Any] = {
    "http": "cop.api.protocols:BoundedHttp",
    "ws": "cop.api.protocols:BoundedWebsocket",
    # Compression makes a broadcast several times dearer.
    "ws_per_message_deflate": False,
    "ws_max_size": MAX_CLIENT_BYTES,
    # For requests under way, after the drain; what is cut off then was not acknowledged.
    "timeout_graceful_shutdown": 20,
    "server_header": False,
}


@contextmanager
def database_at(settings: Settings) -> Iterator[str]:
    """The database's address: the one that is set, or the private cluster's, running while the block does."""
    if settings.database_url:
        yield settings.database_url
        return
    with Cluster.open(settings.data_dir) as cluster:
        yield cluster.url


def in_transaction(url: str, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """What *work* returns, done in one transaction on a database whose schema is brought up to date first."""

    async def run() -> Result:
        await migrate(url)
        database = Database(url, pool_size=1)
        try:
            async with database.begin() as connection:
                return await work(connection)
        finally:
            await database.dispose()

    return asyncio.run(run())


def check_port(settings: Settings) -> None:
    """Raise `Unavailable` if somebody listens where we are to; asked before a database is started for nothing."""
    try:
        with socket.create_server((settings.host, settings.port)):
            pass
    except OSError as error:
        detail = (
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Set COP_PORT to another."
        )
        raise Unavailable(detail, code="port.taken") from error


def run_server(settings: Settings) -> int:
    """Serve until a signal ends it; the exit code. Each process builds the app from the environment set here.

    Afterwards the signals are ignored: what is left to do, such as stopping a database, takes a moment and
    must not be cut short by whoever is impatient.
    """
    os.environ |= {
        "COP_DATABASE_URL": settings.database_url,
        "COP_HOST": settings.host,
        "COP_PORT": str(settings.port),
        "COP_DRAIN_S": str(settings.drain_s),
    }
    _allow_all_connections()
    config = uvicorn.Config(
        "cop.app:create",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level=settings.log_level,
        # The address of a one-time ticket would stand in it.
        access_log=settings.log_level == "debug",
        **OPTIONS,
    )
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        if settings.workers > 1:
            return Supervisor(config, config.bind_socket()).run()
        server = Server(config, heeds=signals)
        server.run()
        return 0 if server.started else FAILED
    finally:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)


def _allow_all_connections() -> None:
    """Let this process, and its workers, open as many sockets as the machine allows: 1,024 is the usual start."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
