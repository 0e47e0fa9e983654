"""Fixtures for everybody: a real PostGIS cluster, a fresh database for each test, and a served app on a real socket."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from cop.embedded.cluster import Cluster
from cop.server import OPTIONS

if TYPE_CHECKING:
    from cop.settings import Settings
    from layers.database import Database


def pytest_configure() -> None:
    """Let SIGTERM end the run as Ctrl-C does, with every server stopped on the way out."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A new folder that every user may pass through (pytest's own are closed), so that postgres gets in."""
    folder = Path(tempfile.mkdtemp(prefix="cop-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One private cluster for the whole run, with the settings that the product uses."""
    folder = Path(tempfile.mkdtemp(prefix="cop-suite-"))
    folder.chmod(0o711)
    with Cluster.open(folder / "cop") as opened:
        yield opened
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The name of a migrated database that nobody is connected to."""
    from layers.database import migrate

    url = cluster.create_database("template_migrated")
    asyncio.run(migrate(url))
    return "template_migrated"


class Spares:
    """Databases copied from the template ahead of need, while another test runs: 0.1 s saved for each test."""

    def __init__(self, cluster: Cluster, template: str) -> None:
        self._cluster = cluster
        self._template = template
        self._names = (f"test_{number}" for number in itertools.count())
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._next = self._make()

    def _make(self) -> Future[str]:
        name = next(self._names)
        return self._worker.submit(lambda: self._cluster.create_database(name, self._template) and name)

    def take(self) -> str:
        """The name of a fresh database; the next one is begun at once."""
        name = self._next.result()
        self._next = self._make()
        return name

    def give_back(self, name: str) -> None:
        """Drop the database when there is time."""
        self._worker.submit(self._cluster.drop_database, name)

    def close(self) -> None:
        """Wait for what is under way."""
        self._worker.shutdown()


@pytest.fixture(scope="session")
def spares(cluster: Cluster, template: str) -> Iterator[Spares]:
    """The shelf that `database_url` takes from."""
    shelf = Spares(cluster, template)
    yield shelf
    shelf.close()


@pytest.fixture
def database_url(cluster: Cluster, spares: Spares) -> Iterator[str]:
    """The address of a fresh, migrated, empty database."""
    name = spares.take()
    yield cluster.url_of(name)
    spares.give_back(name)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """The layers' own engine on a fresh database."""
    from layers.database import Database

    database = Database(database_url)
    yield database
    await database.dispose()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """What the served app is built from; override in a module to serve another one."""
    from cop.settings import Settings

    return Settings(database_url=database_url, data_dir=tmp_path)


class _Uvicorn(uvicorn.Server):
    """uvicorn that says when it listens, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()


@dataclass(frozen=True, slots=True)
class Serving:
    """An app that listens: `url` for HTTP and `ws_url` for websockets, neither with a closing slash."""

    url: str
    ws_url: str
    app: Any


@asynccontextmanager
async def serving(app: Any, listener: socket.socket | None = None) -> AsyncIterator[Serving]:
    """Serve *app* on *listener*, or on an ephemeral loopback port, in this event loop, from start-up to shutdown."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(app, log_config=None, lifespan="on", **OPTIONS | {"timeout_graceful_shutdown": 2})
    server = _Uvicorn(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    listening = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() or server.should_exit:
            await task
            pytest.fail("The app did not start; its log says why.")
        yield Serving(f"http://{host}", f"ws://{host}", app)
    finally:
        listening.cancel()
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task
        listener.close()


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[Serving]:
    """The whole app on a fresh database, behind a real socket."""
    from cop.app import create_app

    async with serving(create_app(settings)) as running:
        yield running


@pytest.fixture
def key(db: Database) -> Callable[..., Awaitable[str]]:
    """Make a credential: `await key("cfd", "publish", "view")`; the agency is added if it is new."""
    from layers.credentials import create_key
    from layers.directory import add_agency, read_directory
    from layers.model import Scope

    async def create(agency: str, *scopes: str, host: bool = False) -> str:
        async with db.begin() as connection:
            known = {each.slug for each in (await read_directory(connection)).agencies.values()}
            if agency not in known:
                await add_agency(connection, agency, name=agency.upper(), color="#0072b2", host=host)
            return await create_key(connection, agency, frozenset(Scope(scope) for scope in scopes))

    return create
