"""From a request's credential to a `Viewer`: a key in the Authorization header, or a session's cookie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.settings import Settings
from layers.credentials import Standing, identify
from layers.database import Database
from layers.directory import Directories, Directory
from layers.errors import Forbidden, Invalid, NotFound, Unauthenticated
from layers.model import AgencyId, Grade, Layer, Scope, Viewer
from layers.sharing import grade, may_administer

COOKIE = "cop_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, and the directory that their rights are judged by; both read for this request."""

    directory: Directory
    standing: Standing
    """What the request's credential is worth."""

    @property
    def viewer(self) -> Viewer:
        """Who asks."""
        return self.standing.viewer

    def layer(self, name: str) -> Layer:
        """The layer of that name; `NotFound` if there is none or the viewer gets nothing of it."""
        try:
            return self.directory.layer_for(self.viewer, name)
        except NotFound as error:
            if self.viewer.agency is None:  # the same for a hidden layer and for none
                error.detail += " You sent no key."
            raise

    def counted(self, name: str) -> Layer:
        """The layer of that name that analyses may count for the viewer, seen or not; `NotFound` like `layer`."""
        return self.directory.counted_for(self.viewer, name)

    def grade(self, layer: Layer) -> Grade:
        """How much of *layer* the viewer gets."""
        return grade(self.viewer, layer)

    def require(self, scope: Scope) -> None:
        """Raise unless the viewer holds *scope*: `Unauthenticated` for the public, else `Forbidden`."""
        if scope not in self.viewer.scopes:
            self.refuse(f"This needs the scope “{scope}”.")

    def require_admin(self, agency: AgencyId) -> None:
        """Raise unless the viewer administers *agency*."""
        if not may_administer(self.viewer, agency):
            self.refuse("This needs the scope “admin” of the agency concerned.")

    def refuse(self, detail: str) -> None:
        """Raise what fits somebody who may not: `Unauthenticated` for the public, else `Forbidden`."""
        if self.viewer.agency is None:
            raise Unauthenticated(f"{detail} Send a key: Authorization: Bearer cop_….")
        raise Forbidden(detail)


def secret_of(headers: Mapping[str, str], cookies: Mapping[str, str]) -> str | None:
    """The secret that a request carries; None if it carries none. The header goes before the cookie."""
    authorization = headers.get("authorization")
    if authorization is None:
        return cookies.get(COOKIE)
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthenticated("Expected “Authorization: Bearer cop_…”.")
    return secret.strip()


async def viewer_of(
    connection: AsyncConnection, headers: Mapping[str, str], cookies: Mapping[str, str]
) -> Standing:
    """What the request's credential is worth now; no credential is the public. Raises `Unauthenticated`."""
    return await identify(connection, secret_of(headers, cookies))


def origin_allowed(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> bool:
    """Whether a browser's page of *origin* may act with a viewer's cookie: our own host, or one that is listed."""
    if origin is None:
        return True  # Not a browser's cross-site request: those always carry it.
    try:
        return origin in allowed or (host is not None and urlsplit(origin).netloc == host)
    except ValueError:  # “http://[” is no address
        return False


def database_of(request: Request) -> Database:
    """The app's database."""
    return cast("Database", request.app.state.database)


def refuse_nul(request: Request) -> None:
    """Raise `Invalid` for an address that holds the one character that PostgreSQL has no place for."""
    if any("\0" in value for value in request.path_params.values()):
        raise Invalid("The address holds a NUL character.", code="path.nul")
    for name, value in request.query_params.multi_items():
        if "\0" in value:
            raise Invalid(f"The parameter “{name[:40]}” holds a NUL character.", code="query.nul")


async def access_of(request: Request) -> Access:
    """The `Access` of a request. Raises `Unauthenticated`, or `Forbidden` for a forged cross-site write.

    Every address with parameters asks for it, so here the NUL is refused that PostgreSQL has no place for.
    """
    refuse_nul(request)
    settings = cast("Settings", request.app.state.settings)
    directories = cast("Directories", request.app.state.directories)
    by_cookie = "authorization" not in request.headers and COOKIE in request.cookies
    if by_cookie and request.method not in SAFE_METHODS:
        allowed = (*settings.allowed_origins, settings.origin)
        if not origin_allowed(request.headers.get("origin"), request.headers.get("host"), allowed):
            raise Forbidden("This page may not act here.", code="origin")
    async with database_of(request).connect() as connection:
        standing = await viewer_of(connection, request.headers, request.cookies)
        directory = await directories.at(connection, standing.policy_revision)
    return Access(directory, standing)


Accessed = Annotated[Access, Depends(access_of)]
Databased = Annotated[Database, Depends(database_of)]
