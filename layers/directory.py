"""Who there is and what there is: agencies, layers, operations and shares.

Reads give one frozen `Directory`; every change counts the policy's revision up, by which each process
notices that what it holds is old. Whether somebody may make a change is asked of `sharing` beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from layers import tables
from layers.errors import Conflict, Invalid, NotFound
from layers.kinds import ANALYSED, KINDS
from layers.log import CHANNEL
from layers.model import (
    Agency,
    AgencyId,
    Grade,
    Layer,
    LayerId,
    LayerName,
    LayerRules,
    Operation,
    OperationId,
    Sharing,
    Status,
    Stream,
    Viewer,
)
from layers.sharing import grade, visible

SLUG = re.compile(r"[a-z][a-z0-9-]{0,31}")
COLOR = re.compile(r"#[0-9a-f]{6}")
EVERYONE = "all"
PUBLIC_AUDIENCE = "public"
GRADES = {Grade.FULL: "full", Grade.GENERALIZED: "generalized"}
"""What a share can give, as it is stored."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one audience is given of a layer."""

    audience: str
    """An agency's slug, `all` or `public`."""
    grade: Grade


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything that has a name, at one revision of the policy."""

    policy_revision: int
    agencies: dict[AgencyId, Agency]
    layers: dict[LayerId, Layer]
    operations: dict[OperationId, Operation]

    def layer_named(self, name: str) -> Layer | None:
        """The layer of that name, whoever may see it."""
        return next((layer for layer in self.layers.values() if layer.name == name), None)

    def layer_for(self, viewer: Viewer, name: str) -> Layer:
        """The layer of that name if the viewer sees it; `NotFound` if not or if there is none."""
        return self._graded(viewer, name, Grade.FULL)

    def visible(self, viewer: Viewer) -> list[Layer]:
        """The layers that the viewer sees, by name."""
        return sorted(visible(viewer, self.layers.values()), key=lambda layer: layer.name)

    def counted_for(self, viewer: Viewer, name: str) -> Layer:
        """The layer of that name if the viewer may have it counted in analyses, seen or not; else `NotFound`."""
        return self._graded(viewer, name, Grade.GENERALIZED)

    def counted(self, viewer: Viewer) -> list[Layer]:
        """The layers that the viewer may have counted in analyses, seen or not, by name."""
        found = (layer for layer in self.layers.values() if grade(viewer, layer) >= Grade.GENERALIZED)
        return sorted(found, key=lambda layer: layer.name)

    def _graded(self, viewer: Viewer, name: str, least: Grade) -> Layer:
        layer = self.layer_named(name)
        if layer is None or grade(viewer, layer) < least:
            raise NotFound("layer", name)
        return layer

    def shares_of(self, layer: Layer) -> list[Share]:
        """With whom *layer* is shared, and by which grade: agencies by their slugs, then `all`, then `public`."""
        sharing = layer.sharing
        slugs = [(self.agencies[id].slug, Grade.FULL) for id in sharing.agencies]
        slugs += [(self.agencies[id].slug, Grade.GENERALIZED) for id in sharing.generalized]
        everyone = [(EVERYONE, Grade.FULL)] * sharing.everyone
        everyone += [(EVERYONE, Grade.GENERALIZED)] * sharing.generalized_for_everyone
        public = [(PUBLIC_AUDIENCE, Grade.FULL)] * sharing.public
        return [Share(*each) for each in (*sorted(slugs), *everyone, *public)]

    def agency_named(self, slug: str) -> Agency:
        """The agency of that slug; `NotFound` if there is none."""
        for agency in self.agencies.values():
            if agency.slug == slug:
                return agency
        raise NotFound("agency", slug)

    def operation_for(self, viewer: Viewer, slug: str) -> Operation:
        """The operation of that slug if the viewer sees something of it; `NotFound` if not or if there is none."""
        for operation in self.operations_for(viewer):
            if operation.slug == slug:
                return operation
        raise NotFound("operation", slug)

    def operations_for(self, viewer: Viewer) -> list[Operation]:
        """The operations that the viewer sees something of, each with only the layers that it sees."""
        seen = {layer.id for layer in self.visible(viewer)}
        found = []
        for operation in self.operations.values():
            layers = tuple(id for id in operation.layers if id in seen)
            if layers or operation.agency == viewer.agency:
                found.append(Operation(**_shallow(operation) | {"layers": layers}))
        return sorted(found, key=lambda operation: operation.slug)


def _shallow(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


class Directories:
    """The newest `Directory` that this process has read; `at` reads again when the policy has moved on."""

    def __init__(self) -> None:
        self._known: Directory | None = None

    async def at(self, connection: AsyncConnection, policy_revision: int) -> Directory:
        """The directory at *policy_revision* or later."""
        if self._known is None or self._known.policy_revision < policy_revision:
            self._known = await read_directory(connection)
        return self._known


async def read_policy_revision(connection: AsyncConnection) -> int:
    """How often agencies, layers, shares, operations or credentials have changed."""
    revision: int = (await connection.execute(select(tables.policy.c.revision))).scalar_one()
    return revision


async def read_directory(connection: AsyncConnection) -> Directory:
    """The whole directory. It is never older than the revision it carries."""
    revision = await read_policy_revision(connection)
    agencies = {
        AgencyId(row.id): Agency(AgencyId(row.id), row.slug, row.name, row.color, row.host)
        for row in await connection.execute(select(tables.agency))
    }
    shares = list(await connection.execute(select(tables.share)))
    drawn = list(await connection.execute(select(tables.operation_layer)))
    layers = {
        LayerId(row.id): _layer_of(row, _sharing_of(row.id, shares))
        for row in await connection.execute(select(tables.layer))
    }
    operations = {
        OperationId(row.id): Operation(
            OperationId(row.id),
            row.slug,
            row.title,
            Status(row.status),
            AgencyId(row.agency_id),
            tuple(LayerId(pair.layer_id) for pair in drawn if pair.operation_id == row.id),
        )
        for row in await connection.execute(select(tables.operation))
    }
    return Directory(revision, agencies, layers, operations)


def _sharing_of(layer_id: int, shares: Iterable[Any]) -> Sharing:
    mine = [share for share in shares if share.layer_id == layer_id]
    full = [share for share in mine if share.grade == GRADES[Grade.FULL]]
    generalized = [share for share in mine if share.grade == GRADES[Grade.GENERALIZED]]
    return Sharing(
        agencies=_agencies_among(full),
        everyone=any(share.audience == EVERYONE for share in full),
        public=any(share.audience == PUBLIC_AUDIENCE for share in full),
        generalized=_agencies_among(generalized),
        generalized_for_everyone=any(share.audience == EVERYONE for share in generalized),
    )


def _agencies_among(shares: Iterable[Any]) -> frozenset[AgencyId]:
    return frozenset(AgencyId(share.agency_id) for share in shares if share.audience == "agency")


def _layer_of(row: Any, sharing: Sharing) -> Layer:
    return Layer(
        id=LayerId(row.id),
        name=LayerName(row.name),
        agency=AgencyId(row.agency_id),
        kind=row.kind,
        status=Status(row.status),
        title=row.title,
        stream=Stream(row.stream),
        rules=LayerRules(
            repair=row.repair,
            area=None if row.area is None else tuple(row.area),
            null_island=row.null_island,
            reach_m=row.reach_m,
            stale_after_s=row.stale_after_s,
            expire_after_s=row.expire_after_s,
            resolution=row.resolution,
        ),
        sharing=sharing,
    )


async def moved_on(connection: AsyncConnection) -> None:
    """Count the policy's revision up; also the lock that puts changes of the directory in a row.

    The doorbell rings when the transaction commits. Within it, unlike a push: these changes are rare, and
    what is taken from a viewer must leave open pages in the same tick.
    """
    await connection.execute(update(tables.policy).values(revision=tables.policy.c.revision + 1))
    await connection.execute(text(f"NOTIFY {CHANNEL}"))


def _slug(value: str, what: str) -> str:
    if not SLUG.fullmatch(value):
        raise Invalid(
            f"“{value[:40]}” is no {what}: expected a small letter, then small letters, digits or hyphens, "
            "32 at the most.",
            code=f"{what}.slug",
        )
    return value


async def _insert(connection: AsyncConnection, table: Any, what: str, named: str, /, **values: Any) -> int:
    try:
        async with connection.begin_nested():
            result = await connection.execute(insert(table).values(**values).returning(table.c.id))
            id: int = result.scalar_one()
    except IntegrityError as error:
        raise Conflict(f"There is a {what} “{named}” already.", code=f"{what}.exists") from error
    return id


async def add_agency(
    connection: AsyncConnection, slug: str, *, name: str = "", color: str = "#4d4d4d", host: bool = False
) -> Agency:
    """Add an agency. The first one, or one added with *host*, runs the deployment and may add others."""
    if slug in (EVERYONE, PUBLIC_AUDIENCE):
        raise Invalid(f"“{slug}” is an audience of layers, so no agency is called so.", code="agency.slug")
    if not COLOR.fullmatch(color.lower()):
        raise Invalid(f"“{color[:20]}” is no colour: expected #rrggbb.", code="agency.color")
    await moved_on(connection)
    first = await connection.scalar(select(tables.agency.c.id).limit(1)) is None
    values: dict[str, Any] = {
        "slug": _slug(slug, "agency"),
        "name": name or slug,
        "color": color.lower(),
        "host": host or first,
    }
    id = await _insert(connection, tables.agency, "agency", slug, **values)
    return Agency(AgencyId(id), **values)


async def find_agency(connection: AsyncConnection, slug: str) -> Any:
    """The agency's row; `NotFound` if there is none."""
    row = (await connection.execute(select(tables.agency).where(tables.agency.c.slug == slug))).one_or_none()
    if row is None:
        raise NotFound("agency", slug)
    return row


async def _layer(connection: AsyncConnection, name: str) -> Any:
    row = (await connection.execute(select(tables.layer).where(tables.layer.c.name == name))).one_or_none()
    if row is None:
        raise NotFound("layer", name)
    return row


async def _operation(connection: AsyncConnection, slug: str) -> Any:
    query = select(tables.operation).where(tables.operation.c.slug == slug)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound("operation", slug)
    return row


async def add_layer(
    connection: AsyncConnection,
    name: str,
    *,
    kind: str,
    status: Status = Status.ACTUAL,
    title: str = "",
    stream: Stream | None = None,
    rules: LayerRules | None = None,
) -> Layer:
    """Add the layer *name* (`agency.slug`), shared with nobody. Its kind and status are for life.

    Without *rules*, the kind's own times to grow stale and to expire hold.
    """
    agency_slug, _, slug = name.partition(".")
    _slug(slug, "layer")
    rules = rules_of(kind) if rules is None else check_rules(rules)
    await moved_on(connection)
    agency = await find_agency(connection, agency_slug)
    values: dict[str, Any] = {
        "kind": kind,
        "status": Status(status),
        "title": title or slug,
        "stream": stream or KINDS[kind].stream,
    }
    stored = _shallow(rules) | {"area": None if rules.area is None else list(rules.area)}
    id = await _insert(
        connection, tables.layer, "layer", name, agency_id=agency.id, name=name, **values, **stored
    )
    return Layer(LayerId(id), LayerName(name), AgencyId(agency.id), rules=rules, **values)


def rules_of(kind: str, **asked: Any) -> LayerRules:
    """The rules that *asked* names; what it leaves out, or gives as None, is as the kind has it."""
    if kind not in KINDS:
        raise Invalid(
            f"“{kind[:40]}” is no kind of layer: expected one of {', '.join(KINDS)}.", code="layer.kind"
        )
    own = {"stale_after_s": KINDS[kind].stale_after_s, "expire_after_s": KINDS[kind].expire_after_s}
    return check_rules(
        LayerRules(**own | {name: value for name, value in asked.items() if value is not None})
    )


def check_rules(rules: LayerRules) -> LayerRules:
    """*rules* as given. Raises `Invalid` where a number is out of bounds."""
    checks = {
        "area": rules.area is None
        or (
            -180 <= rules.area[0] <= 180
            and -180 <= rules.area[2] <= 180
            and -90 <= rules.area[1] <= rules.area[3] <= 90
        ),
        "null_island": rules.null_island in ("flag", "refuse"),
        "reach_m": rules.reach_m is None or 0 < rules.reach_m <= 100_000,
        "stale_after_s": 1 <= rules.stale_after_s <= 10**8,
        "expire_after_s": rules.expire_after_s is None or 1 <= rules.expire_after_s <= 10**9,
        "resolution": 0 <= rules.resolution <= 12,
    }
    for name, fits in checks.items():
        if not fits:
            raise Invalid(f"{name} is out of bounds.", pointer=f"/{name}", code="layer.rules")
    return rules


async def _audience(connection: AsyncConnection, with_: str) -> dict[str, Any]:
    if with_ in (EVERYONE, PUBLIC_AUDIENCE):
        return {"audience": with_, "agency_id": None}
    return {"audience": "agency", "agency_id": (await find_agency(connection, with_)).id}


async def share(connection: AsyncConnection, name: str, with_: str, grade: Grade = Grade.FULL) -> None:
    """Share the layer *name* with an agency (by slug), with `all` agencies, or with the `public`.

    *grade* takes the place of the one that they had. What is generalized is counted in analyses and no more: `Invalid`
    (`share.grade`) for the public, which asks for none, and for kinds that cover nothing.
    """
    if with_ == PUBLIC_AUDIENCE and grade is not Grade.FULL:
        detail = "What is shared generalized is counted in analyses, and the public asks for none."
        raise Invalid(detail, code="share.grade")
    await moved_on(connection)
    layer = await _layer(connection, name)
    if layer.kind not in ANALYSED and grade is not Grade.FULL:
        detail = f"{name} holds {layer.kind}, which cover no ground: there is nothing to count of them."
        raise Invalid(detail, code="share.grade")
    values = {"layer_id": layer.id} | await _audience(connection, with_)
    given = {"grade": GRADES[grade]}
    statement = upsert(tables.share).values(**values, **given)
    await connection.execute(statement.on_conflict_do_update(constraint="share_once", set_=given))


async def unshare(connection: AsyncConnection, name: str, with_: str) -> None:
    """Take a share back. What `share` gave, nothing else: an agency may still see a layer shared with `all`."""
    await moved_on(connection)
    values = {"layer_id": (await _layer(connection, name)).id} | await _audience(connection, with_)
    query = delete(tables.share)
    for column, value in values.items():
        query = query.where(tables.share.c[column].is_not_distinct_from(value))
    if (await connection.execute(query)).rowcount == 0:
        raise NotFound("share", with_)


async def add_operation(
    connection: AsyncConnection, slug: str, *, agency: str, title: str = "", status: Status = Status.ACTUAL
) -> Operation:
    """Add an operation, run by *agency* (a slug). Its status is for life."""
    await moved_on(connection)
    values: dict[str, Any] = {
        "slug": _slug(slug, "operation"),
        "title": title or slug,
        "status": Status(status),
    }
    owner = AgencyId((await find_agency(connection, agency)).id)
    id = await _insert(connection, tables.operation, "operation", slug, agency_id=owner, **values)
    return Operation(OperationId(id), agency=owner, **values)


async def draw(connection: AsyncConnection, operation: str, layer: str) -> None:
    """Draw *layer* into *operation*. Who sees it there is still the layer's own sharing.

    Raises `Invalid` unless the statuses fit: the same, or actual `assets`, `zones` and `roads` in an exercise.
    """
    await moved_on(connection)
    into = await _operation(connection, operation)
    what = await _layer(connection, layer)
    if not fits(Status(into.status), Status(what.status), what.kind):
        raise Invalid(
            f"“{layer}” is {what.status}, “{operation}” is {into.status}: an operation draws layers of its own "
            "status, and an exercise also actual assets, zones and roads.",
            code="operation.status",
        )
    values = {"operation_id": into.id, "layer_id": what.id}
    await connection.execute(upsert(tables.operation_layer).values(**values).on_conflict_do_nothing())


def fits(operation: Status, layer: Status, kind: str) -> bool:
    """Whether an operation of one status may draw a layer of another: exercise data never passes for real."""
    if operation is layer:
        return True
    return operation is Status.EXERCISE and layer is Status.ACTUAL and kind in ("assets", "zones", "roads")


async def undraw(connection: AsyncConnection, operation: str, layer: str) -> None:
    """Take *layer* out of *operation*. `NotFound` if it is not in there, or if there is no such layer."""
    await moved_on(connection)
    named = select(tables.layer.c.id).where(tables.layer.c.name == layer).scalar_subquery()
    query = delete(tables.operation_layer).where(
        tables.operation_layer.c.operation_id == (await _operation(connection, operation)).id,
        tables.operation_layer.c.layer_id == named,
    )
    if (await connection.execute(query)).rowcount == 0:
        raise NotFound("layer", layer)
