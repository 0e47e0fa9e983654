"""Keys, tickets and sessions: made here, kept only as hashes, and turned into a `Viewer`.

A key is what an agency's system or planner sends; a ticket opens the page once and becomes a session.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from layers import tables
from layers.database import driver
from layers.directory import find_agency, moved_on
from layers.errors import Invalid, NotFound, Unauthenticated
from layers.model import PUBLIC, AgencyId, Scope, Viewer
from layers.sharing import with_implied

KEY_LIFETIME = timedelta(days=365)
TICKET_LIFETIME = timedelta(minutes=15)
SESSION_LIFETIME = timedelta(hours=16)
"""Longer than the twelve hours of a shift, shorter than two of them."""
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LETTERS = {Scope.PUBLISH: "pub", Scope.VIEW: "view", Scope.PLAN: "plan", Scope.ADMIN: "adm"}
_RANK = [Scope.ADMIN, Scope.PUBLISH, Scope.PLAN, Scope.VIEW]
SHOWN = 6
"""How many of a secret's random characters may be shown, to name it."""


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits


def new_secret(kind: str) -> str:
    """`cop_<kind>_`, 30 random base-62 characters (178 bits), and a checksum of six.

    The checksum lets a scanner tell a leaked key from a look-alike without asking the database.
    """
    body = f"cop_{kind}_" + "".join(secrets.choice(ALPHABET) for _ in range(30))
    return body + _base62(zlib.crc32(body.encode()), 6)


def shown(secret: str) -> str:
    """What of *secret* may be shown, to name it: its kind and the first random characters."""
    return secret[: secret.rindex("_") + 1 + SHOWN]


def well_formed(secret: str) -> bool:
    """Whether *secret* could be one of ours: its checksum is right."""
    body, checksum = secret[:-6], secret[-6:]
    return (
        secret.startswith("cop_") and secret.isascii() and _base62(zlib.crc32(body.encode()), 6) == checksum
    )


def hash_of(secret: str) -> bytes:
    """What is kept of a secret: its SHA-256. With 178 random bits, no slower hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


async def _create(
    connection: AsyncConnection,
    kind: str,
    *,
    agency_id: int,
    scopes: Iterable[Scope],
    expires_at: datetime,
    name: str,
    parent: int | None = None,
) -> str:
    scopes = sorted(set(scopes), key=_RANK.index)
    if not scopes:
        raise Invalid("A credential needs at least one scope.", code="key.scopes")
    if expires_at <= datetime.now(UTC):
        raise Invalid("expires_at lies in the past.", code="key.expired", pointer="/expires_at")
    label = _LETTERS[scopes[0]] if kind == "key" else kind
    secret = new_secret(label)
    values = {
        "agency_id": agency_id,
        "parent_id": parent,
        "kind": kind,
        "name": name,
        "prefix": shown(secret),
        "hash": hash_of(secret),
        "scopes": list(scopes),
        "expires_at": expires_at,
    }
    await connection.execute(insert(tables.credential).values(**values))
    return secret


async def create_key(
    connection: AsyncConnection,
    agency: str,
    scopes: Iterable[Scope],
    *,
    expires_at: datetime | None = None,
    name: str = "",
) -> str:
    """A new key for *agency* (a slug), good for a year unless said otherwise. It is returned once and never again."""
    return await _create(
        connection,
        "key",
        agency_id=(await find_agency(connection, agency)).id,
        scopes=scopes,
        expires_at=expires_at or datetime.now(UTC) + KEY_LIFETIME,
        name=name,
    )


async def create_ticket(
    connection: AsyncConnection,
    agency: str,
    scopes: Iterable[Scope],
    *,
    name: str = "",
    parent: int | None = None,
) -> str:
    """A ticket that opens the page once, for *agency* (a slug) with *scopes*.

    *parent* is the id of the key that asks for it: the ticket, and the session that it opens, end with that key.
    """
    return await _create(
        connection,
        "ticket",
        agency_id=(await find_agency(connection, agency)).id,
        scopes=scopes,
        expires_at=datetime.now(UTC) + TICKET_LIFETIME,
        name=name,
        parent=parent,
    )


VALID = """
    credential.revoked_at IS NULL AND credential.expires_at > clock_timestamp() AND NOT EXISTS (
        SELECT FROM credential AS parent
        WHERE parent.id = credential.parent_id
          AND (parent.revoked_at IS NOT NULL OR parent.expires_at <= clock_timestamp()))
"""
"""Neither a row of `credential` nor the key that it was made with is revoked or expired."""


async def redeem_ticket(connection: AsyncConnection, ticket: str) -> tuple[str, datetime]:
    """Trade *ticket*, which is then spent, for a session's secret and its end. Raises `Unauthenticated`."""
    spent = (
        update(tables.credential)
        .where(
            tables.credential.c.hash == hash_of(ticket),
            tables.credential.c.kind == "ticket",
            text(VALID),
        )
        .values(revoked_at=text("clock_timestamp()"))
        .returning(tables.credential)
    )
    row = (await connection.execute(spent)).one_or_none()
    if row is None:
        raise Unauthenticated(
            "This link has been used already or is too old. Ask for a new one.", code="ticket.spent"
        )
    ends_at = datetime.now(UTC) + SESSION_LIFETIME
    if row.parent_id is not None:
        key = select(tables.credential.c.expires_at).where(tables.credential.c.id == row.parent_id)
        ends_at = min(ends_at, (await connection.execute(key)).scalar_one())
    secret = await _create(
        connection,
        "session",
        agency_id=row.agency_id,
        scopes=[Scope(scope) for scope in row.scopes],
        expires_at=ends_at,
        name=row.name,
        parent=row.parent_id,
    )
    return secret, ends_at


async def end_session(connection: AsyncConnection, secret: str) -> None:
    """End the session of that secret, at once; anything else, a key too, is left alone."""
    await moved_on(connection)
    query = update(tables.credential).where(
        tables.credential.c.hash == hash_of(secret),
        tables.credential.c.kind == "session",
        tables.credential.c.revoked_at.is_(None),
    )
    await connection.execute(query.values(revoked_at=text("clock_timestamp()")))


async def revoke(connection: AsyncConnection, prefix: str, *, agency_id: int | None = None) -> None:
    """Revoke the credential shown as *prefix*, of that agency if one is given. It stops working at once."""
    await moved_on(connection)
    query = update(tables.credential).where(
        tables.credential.c.prefix == prefix, tables.credential.c.revoked_at.is_(None)
    )
    if agency_id is not None:
        query = query.where(tables.credential.c.agency_id == agency_id)
    if (await connection.execute(query.values(revoked_at=text("clock_timestamp()")))).rowcount == 0:
        raise NotFound("key", prefix)


class KeyCard(NamedTuple):
    """What may be known of a key once it has been shown."""

    prefix: str
    scopes: list[str]
    expires_at: datetime
    revoked_at: datetime | None
    name: str


async def list_keys(connection: AsyncConnection, agency: str) -> list[KeyCard]:
    """The keys of *agency* (a slug), oldest first, revoked ones too."""
    key = tables.credential.c
    query = (
        select(key.prefix, key.scopes, key.expires_at, key.revoked_at, key.name)
        .where(key.kind == "key", key.agency_id == (await find_agency(connection, agency)).id)
        .order_by(key.id)
    )
    return [KeyCard(*row) for row in await connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a credential is worth now, and the policy's revision at that moment."""

    viewer: Viewer
    policy_revision: int
    expires_at: datetime | None = None
    id: int | None = None
    kind: str = ""
    """`key` or `session`; "" for the public."""


IDENTIFY = text(
    f"""
    SELECT policy.revision, credential.hash, credential.id, credential.kind, credential.agency_id,
           credential.scopes, credential.prefix, credential.expires_at, agency.slug, agency.host
    FROM policy
    LEFT JOIN credential ON credential.hash = ANY(CAST(:hashes AS bytea[]))
                        AND credential.kind IN ('key', 'session') AND {VALID}
    LEFT JOIN agency ON agency.id = credential.agency_id
    """  # noqa: S608 - of a constant only
)


def recognised(secret: str) -> bytes:
    """The hash by which the credential of that secret is found. Raises `Unauthenticated` for what is none of ours."""
    if not well_formed(secret):
        raise Unauthenticated("This key is not valid.")
    return hash_of(secret)


async def identify(connection: AsyncConnection, secret: str | None) -> Standing:
    """Who holds *secret*: None is the public. Raises `Unauthenticated` for anything that is not valid now."""
    hashes = [] if secret is None else [recognised(secret)]
    policy_revision, standings = await identify_all(connection, hashes)
    if secret is None:
        return Standing(PUBLIC, policy_revision)
    return standing_in(standings, hashes[0])


async def identify_all(
    connection: AsyncConnection, hashes: Collection[bytes]
) -> tuple[int, dict[bytes, Standing]]:
    """The policy's revision, and what those of these credentials (by hash) are worth that are valid now."""
    rows = (await connection.execute(IDENTIFY, {"hashes": list(hashes)})).all()
    return rows[0].revision, {row.hash: _standing_of(row) for row in rows if row.agency_id is not None}


def standing_in(standings: Mapping[bytes, Standing], hash: bytes) -> Standing:
    """That credential's among those that are valid. Raises `Unauthenticated` if it is not."""
    if hash not in standings:
        raise Unauthenticated("This key is not valid.")
    return standings[hash]


def _standing_of(row: Any) -> Standing:
    scopes = with_implied(Scope(scope) for scope in row.scopes)
    viewer = Viewer(AgencyId(row.agency_id), scopes, f"{row.slug}:{row.prefix}", row.host)
    return Standing(viewer, row.revision, row.expires_at, row.id, row.kind)


async def still_valid(connection: AsyncConnection, hashes: Collection[bytes]) -> set[bytes]:
    """Those of these credentials (SHA-256 of the secret) that are valid now."""
    rows = await (await driver(connection)).fetch(
        f"SELECT hash FROM credential WHERE hash = ANY($1::bytea[]) AND {VALID}",  # noqa: S608 - of a constant only
        list(hashes),
    )
    return {row["hash"] for row in rows}
