"""The words of the protocol: what a client may say, and that whatever else it says is refused by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cop.live import wire
from layers.errors import Invalid
from layers.log import Head

EPOCH = "6f1e2a34-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "live.json"),
        ("{", "live.json"),
        ('{"type":"ping","sent":NaN}', "live.json"),
        ('{"type":"\\ud800"}', "live.json"),
        ("[" * 5_000 + "]" * 5_000, "live.json"),
        ("null", "live.message"),
        ("[]", "live.message"),
        ('{"type":1}', "live.message"),
        ('{"type":"publish"}', "live.message"),
        ('{"type":"ping"}', "live.message"),
        ('{"type":"ping","sent":true}', "live.message"),
        ('{"type":"ping","sent":"1"}', "live.message"),
        ('{"type":"subscribe","operation":7}', "live.operation"),
        ('{"type":"subscribe","layers":"a.b"}', "live.layer"),
        ('{"type":"subscribe","layers":[1]}', "live.layer"),
        ('{"type":"subscribe","view":7}', "live.view"),
        ('{"type":"subscribe","n":-1}', "live.view"),
        ('{"type":"view","n":true}', "live.view"),
        ('{"type":"view","n":9007199254740993}', "live.view"),
        ('{"type":"subscribe","since":[]}', "live.since"),
        ('{"type":"subscribe","since":{"a.b":7}}', "live.since"),
        ('{"type":"subscribe","since":{"a.b":""}}', "live.since"),
        (f'{{"type":"subscribe","since":{{"a.b":"{EPOCH}"}}}}', "live.since"),
        (f'{{"type":"subscribe","since":{{"a.b":"{EPOCH}:-1"}}}}', "live.since"),
        (f'{{"type":"subscribe","since":{{"a.b":"{EPOCH}:٣"}}}}', "live.since"),
        (f'{{"type":"subscribe","since":{{"a.b":"{EPOCH}:99999999999999999"}}}}', "live.since"),
        (f'{{"type":"subscribe","since":{{"a.b":"{"g" * 36}:1"}}}}', "live.since"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_code(text, code):
    with pytest.raises(Invalid) as caught:
        wire.read_message(text)
    assert caught.value.code == code


@pytest.mark.parametrize("member", ["layers", "since"])
def test_a_subscription_has_a_limit(member):
    names = [f"a.l{number}" for number in range(wire.MAX_LAYERS + 1)]
    value = names if member == "layers" else dict.fromkeys(names, f"{EPOCH}:1")
    with pytest.raises(Invalid) as caught:
        wire.read_message(json.dumps({"type": "subscribe", member: value}))
    assert caught.value.code == "live.too_many"


@settings(deadline=None)
@given(
    st.text(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "view", "bbox", "since", "layers", "subscribe"]), inner
            )
        ),
    ).map(json.dumps)
)
def test_whatever_a_client_says_is_read_or_refused(text):
    code = "live."
    try:
        wire.read_message(text)
    except Invalid as fault:
        code = json.loads(wire.error(fault))["code"]
    assert code.startswith("live.")


def test_a_subscription_is_read_whole():
    message = {
        "type": "subscribe",
        "operation": "flood",
        "layers": ["cfd.units"],
        "view": {"bbox": [-88, 41, -87, 42], "zoom": 11.5},
        "n": 3,
        "since": {"cfd.units": f"{EPOCH}:12"},
    }
    read = wire.read_message(json.dumps(message))
    assert isinstance(read, wire.Subscribe)
    assert (read.operation, read.number) == ("flood", 3)
    assert read.layers is not None
    assert set(read.layers) == {"cfd.units"}
    assert read.view is not None
    assert (read.view.bbox, read.view.zoom) == ((-88.0, 41.0, -87.0, 42.0), 11.5)
    assert read.since == {"cfd.units": Head(UUID(EPOCH), 12)}


def test_members_that_later_versions_may_add_are_passed_over():
    assert wire.read_message('{"type":"unsubscribe","because":"lunch"}') == wire.Unsubscribe()


@settings(deadline=None)
@given(st.timedeltas(timedelta(0), timedelta(days=80_000)))
def test_milliseconds_are_whole_and_cut_off(age):
    start = datetime(1970, 1, 1, tzinfo=UTC)
    kept = start + timedelta(milliseconds=wire.milliseconds(start + age))
    assert timedelta(0) <= start + age - kept < timedelta(milliseconds=1)


@settings(deadline=None)
@given(st.text(min_size=1), st.text())
def test_ids_and_words_of_any_script_survive_the_wire(feature_id, word):
    row = wire.put_row(wire.text_of(feature_id), None, wire.text_of({"callsign": word}), 1, None)
    part = wire.layer_part(wire.text_of("a.b"), EPOCH, 0, 1, wire.body([wire.led([row])]), reset=True)
    (item,) = json.loads(wire.whole(wire.frame(7, [part])))["layers"]["a.b"]["put"]
    assert (item["id"], item["properties"]["callsign"]) == (feature_id, word)
