"""The door in, against a model of a layer in plain Python: receipts, revisions and what is on the picture."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layers import directory, log, query
from layers.database import Database
from layers.errors import Conflict, Forbidden, Invalid, NotFound, PushRejected, TooLarge
from layers.model import Feature, Layer, LayerRules, Op, Scope, Status, Viewer
from layers.publish import Idempotency, Item, Mode, Publisher

START = datetime.now(UTC) - timedelta(hours=1)
EVERY_SCOPE = frozenset(Scope)


def unit(id: str, *, lng: float = -87.6, at_s: int | None = None, **properties: Any) -> dict[str, Any]:
    if at_s is not None:
        properties["observed_at"] = (START + timedelta(seconds=at_s)).isoformat()
    return {
        "type": "Feature",
        "id": id,
        "geometry": {"type": "Point", "coordinates": [lng, 41.8]},
        "properties": properties,
    }


def items(*features: dict[str, Any]) -> list[Item]:
    return [(f"/features/{number}", feature) for number, feature in enumerate(features)]


async def make_layer(db: Database, name: str = "cfd.units", **options: Any) -> tuple[Layer, Viewer]:
    slug = name.partition(".")[0]
    async with db.begin() as connection:
        known = await directory.read_directory(connection)
        if slug not in {agency.slug for agency in known.agencies.values()}:
            await directory.add_agency(connection, slug)
        layer = await directory.add_layer(connection, name, **{"kind": "units", **options})
    return layer, Viewer(layer.agency, EVERY_SCOPE, f"{slug}:test")


@pytest.fixture
async def publisher(db: Database) -> Any:
    made = Publisher(db)
    yield made
    await made.close()


async def picture(db: Database, layer: Layer) -> dict[str, Feature]:
    async with db.snapshot() as connection:
        _, features = await query.read_layer(connection, layer.id)
    return {feature.id: feature for feature in features}


async def changes(db: Database, layer: Layer) -> list[Any]:
    async with db.connect() as connection:
        return list(await log.read_after(connection, layer.id, 0))


# Denials


async def test_another_agency_does_not_write(db: Database, publisher: Publisher) -> None:
    layer, _ = await make_layer(db)
    _, other = await make_layer(db, "ems.units")
    with pytest.raises(Forbidden):
        await publisher.push(other, layer, items(unit("E1")))


async def test_the_owner_without_publish_does_not_write(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    reader = Viewer(owner.agency, frozenset({Scope.VIEW}))
    with pytest.raises(Forbidden):
        await publisher.push(reader, layer, items(unit("E1")))


async def test_one_bad_feature_stores_nothing(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    with pytest.raises(PushRejected) as caught:
        await publisher.push(owner, layer, items(unit("E1"), unit("E2", lng=500)))
    assert [rejection.code for rejection in caught.value.rejections] == ["geo.range"]
    assert caught.value.rejections[0].pointer == "/features/1/geometry/coordinates/0"
    assert await picture(db, layer) == {}


async def test_lenient_takes_the_good_ones(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    receipt = await publisher.push(owner, layer, items(unit("E1"), unit("E2", lng=500)), lenient=True)
    assert (receipt.accepted, len(receipt.rejected)) == (1, 1)
    assert set(await picture(db, layer)) == {"E1"}


async def test_a_full_layer_refuses_and_keeps_what_it_has(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layers.commit.MAX_LIVE_FEATURES", 2)
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1"), unit("E2")))
    pushes = [publisher.push(owner, layer, items(unit(id))) for id in ("E3", "E1")]
    full, known = await asyncio.gather(*pushes, return_exceptions=True)
    assert isinstance(full, TooLarge)
    assert not isinstance(known, BaseException), "a full layer still takes what it knows"
    assert set(await picture(db, layer)) == {"E1", "E2"}


async def test_an_empty_set_does_not_replace(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1")))
    with pytest.raises(Invalid, match="allow_empty"):
        await publisher.push(owner, layer, [], mode=Mode.REPLACE)
    assert set(await picture(db, layer)) == {"E1"}
    await publisher.push(owner, layer, [], mode=Mode.REPLACE, allow_empty=True)
    assert await picture(db, layer) == {}


async def test_removing_what_is_not_there_is_not_found(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    with pytest.raises(NotFound):
        await publisher.remove(owner, layer, ["E9"])


async def test_an_idempotency_key_with_another_body_conflicts(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    first = await publisher.push(owner, layer, items(unit("E1")), idempotency=Idempotency("k", b"a"))
    again = await publisher.push(owner, layer, items(unit("E1")), idempotency=Idempotency("k", b"a"))
    assert again == first
    with pytest.raises(Conflict):
        await publisher.push(owner, layer, items(unit("E2")), idempotency=Idempotency("k", b"b"))
    assert set(await picture(db, layer)) == {"E1"}


# Time


async def test_an_older_observation_is_logged_but_does_not_move_the_unit(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1", lng=-87.5, at_s=20)))
    receipt = await publisher.push(owner, layer, items(unit("E1", lng=-87.7, at_s=10)))
    assert (receipt.late, receipt.accepted, receipt.last_revision) == (1, 0, 2)
    assert (await picture(db, layer))["E1"].bbox == (-87.5, 41.8, -87.5, 41.8)
    assert [change.op for change in await changes(db, layer)] == [Op.PUT, Op.LATE]


async def test_the_same_late_observation_twice_takes_no_second_revision(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1", at_s=20)))
    await publisher.push(owner, layer, items(unit("E1", lng=-87.7, at_s=10)))
    receipt = await publisher.push(owner, layer, items(unit("E1", lng=-87.7, at_s=10)))
    assert (receipt.unchanged, receipt.late, receipt.last_revision) == (1, 0, None)


async def test_a_deleted_feature_is_not_brought_back_by_an_older_observation(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1", at_s=20)))
    await publisher.remove(owner, layer, ["E1"])
    assert (await publisher.push(owner, layer, items(unit("E1", at_s=30)))).late == 1
    assert await picture(db, layer) == {}
    assert (await publisher.push(owner, layer, items(unit("E1")))).created == 1


async def test_a_repeat_without_a_time_is_unchanged_until_it_is_news(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db, rules=LayerRules(stale_after_s=1))
    await publisher.push(owner, layer, items(unit("E1")))
    assert (await publisher.push(owner, layer, items(unit("E1")))).unchanged == 1
    first = (await picture(db, layer))["E1"]
    async with asyncio.timeout(5):
        while (await publisher.push(owner, layer, items(unit("E1")))).unchanged:
            pass
    assert (await picture(db, layer))["E1"].observed_at >= first.observed_at + timedelta(seconds=0.25)


async def test_a_feature_that_expires_is_swept_and_logged(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, rules=LayerRules(expire_after_s=1))
    await publisher.push(owner, layer, items(unit("E1")))
    assert await publisher.sweep() == 0
    async with asyncio.timeout(5):
        while not await publisher.sweep():  # noqa: ASYNC110 - time passing sets no event
            await asyncio.sleep(0.05)
    assert await picture(db, layer) == {}
    last = (await changes(db, layer))[-1]
    assert (last.op, last.why, last.revision) == (Op.GONE, "expired", 2)


async def test_what_has_expired_on_arrival_is_late(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, rules=LayerRules(expire_after_s=60))
    assert (await publisher.push(owner, layer, items(unit("E1", at_s=0)))).late == 1
    assert await picture(db, layer) == {}


async def test_a_patch_without_a_time_leaves_the_age_of_the_position(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1", at_s=20, status="available")))
    patch = {"type": "Feature", "id": "E1", "properties": {"status": "en_route"}}
    assert (await publisher.push(owner, layer, items(patch), mode=Mode.PATCH)).accepted == 1
    feature = (await picture(db, layer))["E1"]
    assert feature.properties == '{"status": "en_route"}'
    assert feature.observed_at == START + timedelta(seconds=20)


async def test_a_patch_of_an_unknown_feature_undoes_only_its_own_push(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1", at_s=20)))
    good = {"type": "Feature", "id": "E1", "properties": {"status": "en_route"}}
    bad = {"type": "Feature", "id": "E9", "properties": {"status": "en_route"}}
    put, patch = await asyncio.gather(
        publisher.push(owner, layer, items(unit("E2"))),
        publisher.push(owner, layer, items(good, bad), mode=Mode.PATCH),
        return_exceptions=True,
    )
    assert not isinstance(put, BaseException)
    assert isinstance(patch, PushRejected)
    assert patch.rejections[0].code == "feature.not_found"
    found = await picture(db, layer)
    assert found["E1"].properties == "{}"
    assert [change.revision for change in await changes(db, layer)] == [1, 2]


# The property


@dataclass
class Model:
    """A layer in plain Python: what is on the picture, and how many revisions were taken."""

    known: dict[str, tuple[int, float, str]] = field(default_factory=dict)
    buried: set[str] = field(default_factory=set)
    heard: set[tuple[str, int, float, str]] = field(default_factory=set)
    revision: int = 0

    def put(self, id: str, at_s: int, lng: float, status: str) -> str:
        said = (at_s, lng, status)
        held = self.known.get(id)
        if (held is None and id in self.buried) or (held is not None and at_s < held[0]):
            if (id, *said) in self.heard:
                return "unchanged"
            outcome = "late"
        elif held == said:
            return "unchanged"
        else:
            outcome = "created" if held is None else "put"
            self.known[id] = said
        self.heard.add((id, *said))
        self.revision += 1
        return outcome

    def gone(self, ids: set[str]) -> int:
        went = ids & set(self.known)
        for id in went:
            del self.known[id]
            self.buried.add(id)
        self.revision += len(went)
        return len(went)


feature_strategy = st.tuples(
    st.sampled_from(["A", "B", "C", "D"]),
    st.integers(0, 4),
    st.sampled_from([-87.6, -87.5, -87.4]),
    st.sampled_from(["available", "en_route"]),
)
step_strategy = st.one_of(
    st.tuples(st.just("put"), st.lists(feature_strategy, min_size=1, max_size=6)),
    st.tuples(st.just("replace"), st.lists(feature_strategy, min_size=1, max_size=4)),
    st.tuples(st.just("remove"), st.lists(st.sampled_from(["A", "B", "C", "D"]), min_size=2, max_size=3)),
)


async def run_steps(url: str, name: str, steps: list[Any]) -> None:
    db = Database(url, pool_size=2)
    publisher = Publisher(db)
    try:
        layer, owner = await make_layer(db, name)
        model = Model()
        for action, what in steps:
            before = model.revision
            if action == "remove":
                receipt = await publisher.remove(owner, layer, what)
                assert receipt.gone == model.gone(set(what))
            else:
                outcomes = [model.put(*feature) for feature in what]
                mode = Mode.REPLACE if action == "replace" else Mode.PUT
                features = [unit(id, at_s=at_s, lng=lng, status=status) for id, at_s, lng, status in what]
                receipt = await publisher.push(owner, layer, items(*features), mode=mode)
                if mode is Mode.REPLACE:
                    gone = model.gone(set(model.known) - {feature[0] for feature in what})
                    assert receipt.gone == gone
                assert receipt.accepted == sum(outcome in ("created", "put") for outcome in outcomes)
                assert receipt.created == outcomes.count("created")
                assert receipt.unchanged == outcomes.count("unchanged")
                assert receipt.late == outcomes.count("late")
            taken = model.revision - before
            assert receipt.first_revision == (before + 1 if taken else None)
            assert receipt.last_revision == (model.revision if taken else None)
        found = await picture(db, layer)
        assert {
            id: ((feature.observed_at - START).seconds, feature.bbox[0] if feature.bbox else None)
            for id, feature in found.items()
        } == {id: said[:2] for id, said in model.known.items()}
        logged = await changes(db, layer)
        assert [change.revision for change in logged] == list(range(1, model.revision + 1))
        assert fold(logged) == {id: feature.revision for id, feature in found.items()}
        async with db.connect() as connection:
            head = await query.read_head(connection, layer.id)
        assert (head.revision, head.features) == (model.revision, len(model.known))
    finally:
        await publisher.close()
        await db.dispose()


def fold(logged: list[Any]) -> dict[str, int]:
    """The picture as the log alone has it: feature id → the revision that it stands at."""
    state: dict[str, int] = {}
    for change in logged:
        if change.op is Op.PUT:
            state[change.feature_id] = change.revision
        elif change.op is Op.GONE:
            del state[change.feature_id]
    return state


class Counter:
    """Fresh layer names: every example gets a layer of its own in one database."""

    number = 0

    @classmethod
    def name(cls) -> str:
        cls.number += 1
        return f"cfd.l{cls.number}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step_strategy, min_size=1, max_size=8))
def test_receipts_revisions_and_picture_are_those_of_the_model(database_url: str, steps: list[Any]) -> None:
    asyncio.run(run_steps(database_url, Counter.name(), steps))


async def test_concurrent_pushes_from_two_processes_worth_of_publishers_leave_no_gap(db: Database) -> None:
    layer, owner = await make_layer(db)
    publishers = [Publisher(db), Publisher(db)]
    pushes = [
        publishers[number % 2].push(owner, layer, items(unit(f"U{number % 7}", lng=-87.0 - number / 1000)))
        for number in range(80)
    ]
    receipts = await asyncio.gather(*pushes)
    assert sum(receipt.accepted for receipt in receipts) == 80
    logged = await changes(db, layer)
    assert [change.revision for change in logged] == list(range(1, 81))
    taken = sorted(receipt.first_revision or 0 for receipt in receipts)
    assert taken == list(range(1, 81)), "each push has the revision that its receipt names"
    for publisher in publishers:
        await publisher.close()


async def test_a_stream_is_all_or_nothing_in_bounded_pieces(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, status=Status.TEST)

    async def batches(*sizes: int, bad: bool) -> Any:
        number = 0
        for size in sizes:
            yield [(f"/{number + n}", unit(f"U{number + n}")) for n in range(size)]
            number += size
        if bad:
            yield [(f"/{number}", unit("X", lng=500))]

    with pytest.raises(PushRejected):
        await publisher.push_stream(owner, layer, batches(500, 500, bad=True))
    assert await picture(db, layer) == {}
    receipt = await publisher.push_stream(owner, layer, batches(500, 700, bad=True), lenient=True)
    assert (receipt.accepted, receipt.first_revision, receipt.last_revision) == (1200, 1, 1200)
    assert receipt.rejected[0].pointer == "/1200/geometry/coordinates/0"
