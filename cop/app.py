"""Where everything meets: database, directory, publisher, stream, routers and page become one application."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import web
from cop import garbage
from cop.analysts import Analysts
from cop.api import (
    admin,
    asyncapi,
    changes,
    collections,
    coverage,
    coverage_jurisdictions,
    coverage_placement,
    coverage_runs,
    coverage_saved,
    coverage_timeline,
    coverage_watch,
    coverage_weights,
    coverage_what_if,
    errors,
    events,
    feeds,
    health,
    items,
    jobs,
    landing,
    live,
    search,
    session,
    tiles,
)
from cop.api.standings import Standings
from cop.drain import Drain, Gate
from cop.feeds import Feeds
from cop.live.hub import Hub
from cop.live.pump import Pump
from cop.planning.desk import Desk
from cop.planning.jobs import Jobs
from cop.planning.watch import Watcher
from cop.settings import Settings
from cop.upkeep import kept
from layers.database import Database, migrate
from layers.directory import Directories
from layers.publish import Publisher

ROUTERS = (
    landing,
    asyncapi,
    health,
    collections,
    items,
    session,
    admin,
    coverage,
    coverage_jurisdictions,
    coverage_placement,
    coverage_runs,
    coverage_saved,
    coverage_timeline,
    coverage_watch,
    coverage_what_if,
    coverage_weights,
    jobs,
    tiles,
    live,
    changes,
    events,
    feeds,
    search,
)


def create_app(settings: Settings) -> FastAPI:
    """The application for *settings*, whose `database_url` must be set; its lifespan brings the schema up to date."""
    database = Database(settings.database_url)
    publisher = Publisher(database)
    hub = Hub(tick_ms=settings.tick_ms)
    watched = Feeds(database, hub, publisher.refusals)
    pump = Pump(database, hub, settings.database_url)
    standings = Standings(database, hub)
    drain = Drain(hub, window_s=settings.drain_s)
    analysts = Analysts()
    long_ones = Jobs(database)
    watcher = Watcher(database, publisher, settings.database_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        await migrate(settings.database_url)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(database.dispose)
            stack.push_async_callback(publisher.close)
            stack.push_async_callback(standings.close)
            stack.callback(analysts.close)
            await stack.enter_async_context(long_ones.kept())
            await stack.enter_async_context(
                kept(
                    database, publisher, watched, sweep_s=settings.sweep_s, history_days=settings.history_days
                )
            )
            await stack.enter_async_context(pump.running())
            await stack.enter_async_context(watcher.running())
            yield {"drain": drain, "pump": pump}  # For `cop.process.Server`.

    app = FastAPI(
        title="Common operating picture",
        version=version("common-operating-picture"),
        openapi_url="/api",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.database = database
    app.state.directories = Directories()
    app.state.publisher = publisher
    app.state.hub = hub
    app.state.standings = standings
    app.state.feeds = watched
    app.state.searches = asyncio.Semaphore(search.AT_ONCE)
    app.state.drain = drain
    app.state.pump = pump
    app.state.analysts = analysts
    app.state.desk = Desk(analysts)
    app.state.jobs = long_ones
    errors.install(app)
    for module in ROUTERS:
        app.include_router(module.router)
    _mount_page(app)
    app.add_middleware(RequestId)
    app.add_middleware(Gate, drain=drain)
    return app


def create() -> FastAPI:
    """The application for the environment's settings: what each worker of `cop serve` builds."""
    garbage.seldom()
    return create_app(Settings.from_environment())


def _mount_page(app: FastAPI) -> None:
    built = web.assets()
    if built is not None:
        for folder in ("assets", "basemap"):
            app.mount(f"/{folder}", StaticFiles(directory=built / folder), name=folder)


class RequestId:
    """Gives each request an id, which its problem, its log lines and its `X-Request-Id` carry."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = secrets.token_hex(8)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        await self._app(scope, receive, marked)
