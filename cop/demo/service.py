"""The service of the exercise as a process: database, agencies, layers and keys, then the whole product.

`run.py` starts it and gets back, as one line of JSON, where it listens and the keys made for this run.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.demo.scenario import HOST, OPERATION, PARTIES, PUBLICATIONS, TITLE, Publication
from cop.demo.tether import instructions, on_release, say
from cop.server import database_at, in_transaction, run_server
from cop.settings import Settings
from layers import tables
from layers.credentials import create_key, revoke
from layers.directory import (
    Directory,
    add_agency,
    add_layer,
    add_operation,
    draw,
    read_directory,
    rules_of,
    share,
)
from layers.errors import Conflict, LayersError, Unavailable
from layers.model import Scope, Status

KEY_NAME = "exercise"
PORTS_TRIED = 50


async def set_up(connection: AsyncConnection) -> dict[str, str]:
    """Add what the exercise lacks of agencies, layers, shares and its operation; return new keys by name.

    A key `publish` for each agency, under its slug, and the host's key to `view` and `plan`, as `viewer`.
    Keys of earlier runs are revoked, so none outlives its run for long and none lies on a disk. Raises
    `Conflict` where another agency runs the deployment.
    """
    directory = await read_directory(connection)
    for agency in directory.agencies.values():
        if agency.host and agency.slug != HOST:
            raise Conflict(
                f"This database belongs to “{agency.slug}”; the exercise wants one of its own: "
                "unset COP_DATABASE_URL, or choose another COP_DATA_DIR."
            )
    known = {agency.slug for agency in directory.agencies.values()}
    for party in PARTIES:
        if party.slug not in known:
            await add_agency(
                connection, party.slug, name=party.name, color=party.color, host=party.slug == HOST
            )
    if OPERATION not in {operation.slug for operation in directory.operations.values()}:
        await add_operation(connection, OPERATION, agency=HOST, title=TITLE, status=Status.EXERCISE)
    for publication in PUBLICATIONS:
        await _add_publication(connection, directory, publication)
    return await _new_keys(connection)


async def _add_publication(
    connection: AsyncConnection, directory: Directory, publication: Publication
) -> None:
    if directory.layer_named(publication.name) is not None:
        return
    await add_layer(
        connection,
        publication.name,
        kind=publication.kind,
        status=Status.EXERCISE,
        title=publication.title,
        rules=rules_of(publication.kind, **publication.rules),
    )
    for audience in publication.shared_with:
        await share(connection, publication.name, audience)
    await draw(connection, OPERATION, publication.name)


async def _new_keys(connection: AsyncConnection) -> dict[str, str]:
    old = select(tables.credential.c.prefix).where(
        tables.credential.c.name == KEY_NAME, tables.credential.c.revoked_at.is_(None)
    )
    for prefix in (await connection.execute(old)).scalars().all():
        await revoke(connection, prefix)
    keys = {
        party.slug: await create_key(connection, party.slug, [Scope.PUBLISH], name=KEY_NAME)
        for party in PARTIES
    }
    keys["viewer"] = await create_key(connection, HOST, [Scope.VIEW, Scope.PLAN], name=KEY_NAME)
    return keys


def free_port(host: str, port: int) -> int:
    """*port* if it is free, or the next one that is; any if *port* is 0."""
    for candidate in range(port, port + PORTS_TRIED) if port else (0,):
        with suppress(OSError), socket.create_server((host, candidate)) as listener:
            found: int = listener.getsockname()[1]
            return found
    raise Unavailable(f"The ports {port} to {port + PORTS_TRIED - 1} are all taken; set COP_PORT to another.")


def serve(settings: Settings) -> None:
    """Serve until the parent lets go. Says `{"url", "keys"}` before it listens, or `{"error"}`."""
    with database_at(settings) as url:
        keys = in_transaction(url, set_up)
        port = free_port(settings.host, settings.port)
        settings = settings.model_copy(update={"database_url": url, "port": port, "drain_s": 0.0})
        # A signal that comes before the server listens to signals must not end us with the database open.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        on_release(_stop_serving, grace_s=30.0)
        say(json.dumps({"url": settings.origin, "keys": keys}))
        run_server(settings)


def _stop_serving() -> None:
    """Tell the server, again and again: it may only just be starting, and not listen to signals yet."""
    for _ in range(120):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)


def main() -> None:
    """The process."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    told = instructions()
    settings = Settings(**told | {"data_dir": Path(told["data_dir"])})
    try:
        serve(settings)
    except LayersError as error:
        say(json.dumps({"error": error.detail}))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
