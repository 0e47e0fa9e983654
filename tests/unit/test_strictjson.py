"""Bodies that two readers could take differently are refused, and the rest reads as the standard library reads it."""

from __future__ import annotations

import contextlib
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import InvalidJson
from layers.strictjson import MAX_DEPTH, loads

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def code_of(body: bytes) -> str:
    with pytest.raises(InvalidJson) as refused:
        loads(body)
    return refused.value.code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json.empty"),
        (b" \r\n\t", "json.empty"),
        (b"{", "json.syntax"),
        (b'{"a": 1', "json.syntax"),
        (b"{} {}", "json.syntax"),
        (b"[1,]", "json.syntax"),
        (b"{'a': 1}", "json.syntax"),
        (b'["a\nb"]', "json.syntax"),
        (b"]" * 50, "json.syntax"),
        (b"[NaN]", "json.non_finite"),
        (b"[Infinity]", "json.non_finite"),
        (b"[-Infinity]", "json.non_finite"),
        (b'{"id": 1, "id": 1}', "json.duplicate_key"),
        (b'[{"a": {"x": 1, "\\u0078": 2}}]', "json.duplicate_key"),
        (b"\xef\xbb\xbf{}", "json.encoding"),
        ('{"a": 1}'.encode("utf-16"), "json.encoding"),
        ('{"a": 1}'.encode("utf-16-be"), "json.encoding"),
        ('{"a": "é"}'.encode("latin-1"), "json.encoding"),
        (b'["\xed\xa0\x80"]', "json.encoding"),
        (b'["\\ud800"]', "json.unicode"),
        (b'{"\\udfff": 1}', "json.unicode"),
        (b'["\\ud800\\ud800\\udc00"]', "json.unicode"),
        (b'["\\\\\\ud800"]', "json.unicode"),
        (b"[" * 100_000, "json.depth"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "json.depth"),
        (b'["]]]]",' + b"[" * 33 + b"]" * 34, "json.depth"),
        (b'["\\"",' + b"[" * 33 + b"]" * 34, "json.depth"),
    ],
)
def test_refuses(body: bytes, code: str) -> None:
    assert code_of(body) == code


def test_depth_is_counted_exactly() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert code_of(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)) == "json.depth"


@pytest.mark.parametrize(
    "text", ["[" * 99, "}" * 99, '"' + "[" * 99 + '\\"', "\\" + "{" * 99, "{[" * 50 + "\\\\"]
)
def test_brackets_within_strings_do_not_nest(text: str) -> None:
    assert loads(json.dumps([text, {text: text}]).encode()) == [text, {text: text}]


def test_numbers_beyond_floats_become_infinite_so_that_their_feature_is_refused_alone() -> None:
    assert loads(b"[1e400, -1e400]") == [math.inf, -math.inf]
    assert loads(b"[" + b"9" * 5_000 + b", -" + b"9" * 5_000 + b", 7]") == [math.inf, -math.inf, 7]


def test_surrogate_pairs_and_escaped_backslashes_are_text() -> None:
    assert loads(rb'["\ud83d\ude00", "\\ud800"]') == ["\U0001f600", "\\ud800"]


def test_says_where() -> None:
    with pytest.raises(InvalidJson, match="line 2, column 3"):
        loads(b"[\n1 2]")
    with pytest.raises(InvalidJson, match="byte 3 "):
        loads(b'["a\xff"]')
    with pytest.raises(InvalidJson, match=r"^Unterminated string starting at line 1, column 2\.$"):
        loads(b'["a')


def test_of_a_line_of_a_stream_says_which() -> None:
    with pytest.raises(InvalidJson, match="line 42, column 4"):
        loads(b"[1 2]", first_line=42)
    with pytest.raises(InvalidJson, match="line 43, column 3"):
        loads(b"[\n1 2]", first_line=42)


@pytest.mark.parametrize(
    "body", [b"[" * 5_000_000, b'["[",' + b'"[",' * 1_000_000 + b"1]", b'"\\' * 2_500_000]
)
def test_five_megabytes_of_malice_take_no_time(body: bytes) -> None:
    begun = time.process_time()
    with contextlib.suppress(InvalidJson):
        loads(body)
    assert time.process_time() - begun < 2


@given(JSON)
def test_reads_what_the_standard_library_writes(value: object) -> None:
    try:
        body = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        assert code_of(json.dumps(value).encode()) == "json.unicode"
        return
    assert loads(body) == value == loads(json.dumps(value).encode())


@given(st.binary() | st.text(alphabet='[]{}",:\\u0d8 1e').map(str.encode))
def test_never_fails_but_as_promised(body: bytes) -> None:
    with contextlib.suppress(InvalidJson):
        loads(body)
