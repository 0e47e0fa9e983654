"""Finding features by name in SQL, against the same rule over everything in plain Python; whatever the script."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from layers.database import Database
from layers.errors import Invalid
from layers.finding import Found, find, folded, sql_folded
from layers.model import Layer, Viewer
from layers.publish import Publisher
from tests.db.test_publish import items, make_layer, unit

LETTERS = string.ascii_letters + string.digits + " -./äÉçøßñΩσЖйİ東京한"
NAMES = st.text(LETTERS, min_size=1, max_size=8)


async def found(db: Database, typed: str, *layers: Layer, limit: int = 1_000) -> list[Found]:
    async with db.connect() as connection:
        return await find(connection, [layer.id for layer in layers], typed, limit=limit)


async def publish(db: Database, layer: Layer, owner: Viewer, *features: dict[str, Any]) -> None:
    publisher = Publisher(db)
    await publisher.push(owner, layer, items(*features))
    await publisher.close()


def rank(name: str, typed: str) -> int:
    """How well *name* answers, by the words of `GET /search`; 9: not at all."""
    word, wanted = folded(name), folded(typed)
    if not re.search(".*".join(map(re.escape, wanted)), word):
        return 9
    return 0 if word == wanted else 1 if word.startswith(wanted) else 2 if wanted in word else 3


@pytest.mark.parametrize("typed", ["", " ", "-–/", "%_"])
async def test_what_has_no_letter_or_digit_is_refused(db: Database, typed: str) -> None:
    layer, _ = await make_layer(db)
    with pytest.raises(Invalid, match="a letter or a digit"):
        await found(db, typed, layer)


async def test_more_letters_than_any_name_needs_are_refused(db: Database) -> None:
    layer, _ = await make_layer(db)
    with pytest.raises(Invalid, match="at most 80"):
        await found(db, "e" * 81, layer)


async def test_other_layers_are_not_looked_through(db: Database) -> None:
    (one, owner), (other, _) = await make_layer(db), await make_layer(db, "cfd.others")
    await publish(db, one, owner, unit("E42"))
    assert await found(db, "E42", other) == []
    assert [each.id for each in await found(db, "E42", one, other)] == ["E42"]


async def test_what_has_no_place_is_found_without_one(db: Database) -> None:
    layer, owner = await make_layer(db, "nws.alerts", kind="alerts")
    nowhere = unit("a1", title="Flood watch") | {"geometry": None}
    await publish(db, layer, owner, nowhere)
    assert await found(db, "flood", layer) == [
        Found(layer.id, nowhere["id"], "Flood watch", None, None, None)
    ]


async def test_a_hit_says_what_it_is(db: Database) -> None:
    layer, owner = await make_layer(db)
    await publish(db, layer, owner, unit("u1", callsign="Engine 42", unit_type="engine", status="en_route"))
    [hit] = await found(db, "42", layer)
    assert (hit.id, hit.name, hit.status, hit.type, hit.at) == (
        "u1",
        "Engine 42",
        "en_route",
        "engine",
        (-87.6, 41.8),
    )


async def test_a_shape_is_found_at_a_place_within_it(db: Database) -> None:
    layer, owner = await make_layer(db, "cfd.zones", kind="zones")
    ring = [[0, 0], [4, 0], [4, 4], [3, 4], [3, 1], [0, 1], [0, 0]]
    zone = unit("z1", name="Cordon") | {"geometry": {"type": "Polygon", "coordinates": [ring]}}
    await publish(db, layer, owner, zone)
    [hit] = await found(db, "cordon", layer)
    assert hit.at is not None
    lng, lat = hit.at
    assert (3 <= lng <= 4 and 0 <= lat <= 4) or (0 <= lng <= 4 and 0 <= lat <= 1)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, min_size=1, max_size=20), typed=NAMES.filter(folded))
async def test_it_finds_what_the_rule_finds_best_first(db: Database, names: list[str], typed: str) -> None:
    async with db.begin() as connection:
        for table in ("feature", "change", "tombstone", "layer", "agency"):
            await connection.execute(text(f"TRUNCATE {table} CASCADE"))
    layer, owner = await make_layer(db)
    called = {f"#{n}": name for n, name in enumerate(names)}
    await publish(db, layer, owner, *(unit(id, callsign=name) for id, name in called.items()))
    hits = await found(db, typed, layer)
    ranks = {id: min(rank(name, typed), rank(id, typed)) for id, name in called.items()}
    assert {hit.id for hit in hits} == {id for id, best in ranks.items() if best < 9}
    assert [ranks[hit.id] for hit in hits] == sorted(ranks[hit.id] for hit in hits)


@given(word=st.text(st.characters(codec="utf-8", categories=("L", "N", "Z", "P", "S"), max_codepoint=0x2FFF)))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_names_of_any_script_are_folded_alike(db: Database, word: str) -> None:
    """What SQL makes of a text and what Python makes of it are the same."""
    async with db.connect() as connection:
        by_sql = await connection.scalar(text(f"SELECT {sql_folded(':word')}"), {"word": word})
    assert by_sql == folded(word)
