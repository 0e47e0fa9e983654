"""The policy: Python and SQL say the same, and a hidden layer answers as one that is not there."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from layers import directory
from layers.database import Database
from layers.errors import Conflict, NotFound
from layers.model import PUBLIC, Grade, Scope, Status, Viewer
from layers.sharing import VISIBLE_LAYERS, grade, sql_viewer, visible, with_implied

AGENCIES = ["cfd", "ems", "cpd"]
AUDIENCES = [*AGENCIES, "all", "public"]

edits_strategy = st.tuples(st.integers(0, 5), st.sampled_from(AUDIENCES), st.sampled_from(Grade))
shares_strategy = st.lists(
    edits_strategy.filter(lambda edit: edit[1:] != ("public", Grade.GENERALIZED)), max_size=20
)
scopes_strategy = st.frozensets(st.sampled_from(list(Scope)))


def best(shares: dict[tuple[str, str], Grade], layer: str, slug: str, scopes: frozenset[Scope]) -> Grade:
    """The most that any share of *layer* gives another agency; only what is public needs no scope."""
    open_to_all = shares.get((layer, "public"), Grade.NONE)
    for_viewers = [shares.get((layer, audience), Grade.NONE) for audience in (slug, "all")]
    return max([open_to_all, *(for_viewers if Scope.VIEW in scopes else [])])


async def both(url: str, edits: list[tuple[int, str, Grade]], scopes: frozenset[Scope]) -> None:
    db = Database(url, pool_size=1)
    try:
        async with db.engine.connect() as connection:  # never committed: each example starts from nothing
            for slug in AGENCIES:
                await directory.add_agency(connection, slug)
            names = [f"{slug}.{kind}" for slug in AGENCIES for kind in ("units", "assets")]
            for name in names:
                await directory.add_layer(connection, name, kind=name.partition(".")[2])
            shares: dict[tuple[str, str], Grade] = {}
            for number, audience, given_ in edits:
                change = partial(directory.share, grade=given_) if given_ else directory.unshare
                try:
                    await change(connection, names[number], audience)
                    shares[names[number], audience] = given_
                except NotFound:
                    assert not given_
            known = await directory.read_directory(connection)
            viewers = [PUBLIC, *(Viewer(id, with_implied(scopes)) for id in known.agencies)]
            for viewer in viewers:
                rows = await connection.execute(text(VISIBLE_LAYERS), sql_viewer(viewer))
                assert set(rows.scalars()) == {layer.id for layer in visible(viewer, known.layers.values())}
                for layer in known.layers.values():
                    told = {(layer.name, each.audience): each.grade for each in known.shares_of(layer)}
                    assert told == {
                        at: given for at, given in shares.items() if at[0] == layer.name and given
                    }
                    if viewer.agency not in (None, layer.agency):
                        slug = known.agencies[viewer.agency].slug
                        assert grade(viewer, layer) == best(shares, layer.name, slug, viewer.scopes)
    finally:
        await db.dispose()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=shares_strategy, scopes=scopes_strategy)
def test_python_and_sql_judge_alike(
    database_url: str, edits: list[tuple[int, str, Grade]], scopes: frozenset[Scope]
) -> None:
    asyncio.run(both(database_url, edits, scopes))


async def two_agencies(db: Database) -> tuple[directory.Directory, Viewer, Viewer]:
    async with db.begin() as connection:
        ours = await directory.add_agency(connection, "cfd")
        theirs = await directory.add_agency(connection, "ems")
        await directory.add_layer(connection, "cfd.units", kind="units")
        known = await directory.read_directory(connection)
    scopes = frozenset({Scope.VIEW})
    return known, Viewer(ours.id, scopes), Viewer(theirs.id, scopes)


async def test_a_hidden_layer_answers_as_one_that_does_not_exist(db: Database) -> None:
    known, _, other = await two_agencies(db)
    with pytest.raises(NotFound) as hidden:
        known.layer_for(other, "cfd.units")
    with pytest.raises(NotFound) as absent:
        known.layer_for(other, "cfd.nothing")
    assert str(hidden.value) == str(absent.value).replace("nothing", "units")
    assert hidden.value.code == absent.value.code


async def test_what_is_shared_generalized_is_hidden_and_may_be_counted(db: Database) -> None:
    _, _, other = await two_agencies(db)
    async with db.begin() as connection:
        await directory.share(connection, "cfd.units", "ems", Grade.GENERALIZED)
        known = await directory.read_directory(connection)
    with pytest.raises(NotFound):
        known.layer_for(other, "cfd.units")
    assert known.visible(other) == []
    assert known.counted(other) == [known.counted_for(other, "cfd.units")]
    blind = Viewer(other.agency, frozenset({Scope.PUBLISH}))
    assert known.counted(blind) == []
    with pytest.raises(NotFound):
        known.counted_for(blind, "cfd.units")


def test_grades_are_in_the_order_of_what_they_give() -> None:
    assert Grade.NONE < Grade.GENERALIZED < Grade.FULL


async def test_an_unshared_layer_is_gone_from_the_next_directory(db: Database) -> None:
    _, _, other = await two_agencies(db)
    directories = directory.Directories()
    async with db.begin() as connection:
        await directory.share(connection, "cfd.units", "ems")
        revision = await directory.read_policy_revision(connection)
        assert (await directories.at(connection, revision)).layer_for(other, "cfd.units")
        await directory.unshare(connection, "cfd.units", "ems")
        revision = await directory.read_policy_revision(connection)
        assert (await directories.at(connection, revision)).visible(other) == []


@pytest.mark.parametrize(
    ("operation", "layer", "kind", "fits"),
    [
        ("exercise", "actual", "units", False),
        ("exercise", "actual", "incidents", False),
        ("exercise", "actual", "assets", True),
        ("exercise", "actual", "zones", True),
        ("exercise", "actual", "roads", True),
        ("exercise", "exercise", "units", True),
        ("actual", "exercise", "assets", False),
        ("actual", "exercise", "roads", False),
        ("actual", "test", "zones", False),
        ("test", "actual", "zones", False),
    ],
)
def test_an_operation_draws_only_what_fits_its_status(
    operation: Any, layer: Any, kind: str, fits: bool
) -> None:
    assert directory.fits(Status(operation), Status(layer), kind) is fits


async def test_a_name_taken_is_a_conflict_and_the_transaction_goes_on(db: Database) -> None:
    async with db.begin() as connection:
        await directory.add_agency(connection, "cfd")
        with pytest.raises(Conflict):
            await directory.add_agency(connection, "cfd")
        await directory.add_agency(connection, "ems")
        assert len((await directory.read_directory(connection)).agencies) == 2
