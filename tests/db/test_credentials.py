"""Keys, tickets and sessions: what is refused first, then what works once, and what works until revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from layers import credentials, directory, tables
from layers.database import Database
from layers.errors import Invalid, NotFound, Unauthenticated
from layers.model import PUBLIC, Scope


async def agency_key(db: Database, *scopes: Scope) -> str:
    async with db.begin() as connection:
        await directory.add_agency(connection, "cfd")
        return await credentials.create_key(connection, "cfd", scopes)


async def standing(db: Database, secret: str | None) -> credentials.Standing:
    async with db.connect() as connection:
        return await credentials.identify(connection, secret)


def test_a_look_alike_fails_its_checksum() -> None:
    secret = credentials.new_secret("pub")
    assert credentials.well_formed(secret)
    assert not credentials.well_formed(secret[:-1] + ("0" if secret[-1] != "0" else "1"))
    assert not credentials.well_formed(secret[1:])
    assert not credentials.well_formed("")
    assert not credentials.well_formed("cop_é" + secret)


async def test_a_revoked_key_stops_working(db: Database) -> None:
    key = await agency_key(db, Scope.PUBLISH)
    assert (await standing(db, key)).viewer.scopes == {Scope.PUBLISH}
    async with db.begin() as connection:
        await credentials.revoke(connection, credentials.shown(key))
    with pytest.raises(Unauthenticated):
        await standing(db, key)


async def test_an_expired_key_stops_working(db: Database) -> None:
    key = await agency_key(db, Scope.VIEW)
    async with db.begin() as connection:
        await connection.execute(text("UPDATE credential SET expires_at = now() - interval '1 second'"))
    with pytest.raises(Unauthenticated):
        await standing(db, key)


async def test_another_agency_cannot_revoke(db: Database) -> None:
    key = await agency_key(db, Scope.VIEW)
    async with db.begin() as connection:
        other = await directory.add_agency(connection, "ems")
    with pytest.raises(NotFound):
        async with db.begin() as connection:
            await credentials.revoke(connection, credentials.shown(key), agency_id=other.id)
    assert (await standing(db, key)).viewer.agency


async def test_a_key_that_has_expired_already_is_not_made(db: Database) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    async with db.begin() as connection:
        await directory.add_agency(connection, "cfd")
        with pytest.raises(Invalid):
            await credentials.create_key(connection, "cfd", [Scope.VIEW], expires_at=past)


async def test_a_ticket_opens_once(db: Database) -> None:
    await agency_key(db, Scope.VIEW)
    async with db.begin() as connection:
        ticket = await credentials.create_ticket(connection, "cfd", [Scope.VIEW, Scope.PLAN])
    with pytest.raises(Unauthenticated):
        await standing(db, ticket)
    async with db.begin() as connection:
        session, _ = await credentials.redeem_ticket(connection, ticket)
    assert (await standing(db, session)).viewer.scopes == {Scope.VIEW, Scope.PLAN}
    with pytest.raises(Unauthenticated):
        async with db.begin() as connection:
            await credentials.redeem_ticket(connection, ticket)


async def test_no_secret_is_in_the_database(db: Database) -> None:
    key = await agency_key(db, Scope.ADMIN)
    async with db.connect() as connection:
        row = (await connection.execute(select(tables.credential))).one()
    assert key not in str(row)
    assert bytes(row.hash) == credentials.hash_of(key)


async def test_no_credential_is_the_public(db: Database) -> None:
    assert (await standing(db, None)).viewer == PUBLIC


async def test_admin_implies_everything(db: Database) -> None:
    assert (await standing(db, await agency_key(db, Scope.ADMIN))).viewer.scopes == set(Scope)
