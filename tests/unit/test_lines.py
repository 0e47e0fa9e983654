"""A body of lines: cut into batches that are bounded in number and in bytes, whatever pieces it comes in."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request

from cop.api import requests
from cop.api.requests import Lines
from cop.settings import Settings
from layers.errors import InvalidJson, TooLarge


def lines(body: bytes, piece: int = 65_536, type: str = requests.LINES) -> Lines:
    """*body*, coming in pieces of that size."""

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(body), piece):
            yield body[at : at + piece]

    state = SimpleNamespace(settings=Settings())
    request = SimpleNamespace(app=SimpleNamespace(state=state), headers={"content-type": type}, stream=stream)
    return Lines(cast("Request", request))


async def batches(lines: Lines, size: int = 500) -> list[list[tuple[str, Any]]]:
    return [batch async for batch in lines.batches(size)]


async def test_a_line_that_is_no_json_is_named() -> None:
    with pytest.raises(InvalidJson) as caught:
        await batches(lines(b"1\n\n{\n"))
    assert caught.value.pointer == "/2"


async def test_a_line_beyond_the_limit_is_refused_before_it_has_come() -> None:
    with pytest.raises(TooLarge):
        await batches(lines(b"1\n" + b" " * 5_000_001))


async def test_a_batch_is_bounded_in_bytes_as_in_number() -> None:
    line = json.dumps("x" * 400_000).encode() + b"\n"
    assert [len(batch) for batch in await batches(lines(line * 7))] == [3, 3, 1]
    assert [len(batch) for batch in await batches(lines(b"1\n" * 7), 4)] == [4, 3]


async def test_a_long_line_is_not_searched_anew_for_each_piece_of_it() -> None:
    begun = time.process_time()
    assert await batches(lines(b'"' + b"x" * 4_900_000 + b'"', piece=500))
    assert time.process_time() - begun < 1


async def test_a_long_line_is_parsed_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threaded = []
    real = asyncio.to_thread

    async def to_thread(act: Any, *given: Any, **named: Any) -> Any:
        threaded.append(len(given[0]))
        return await real(act, *given, **named)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await batches(lines(b"1\n" + json.dumps("x" * 600_000).encode()))
    assert threaded == [600_002]


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
async def test_pieces_make_no_difference(piece: int) -> None:
    assert await batches(lines(b'1\r\n\n"a"\n3', piece)) == [[("/0", 1), ("/2", "a"), ("/3", 3)]]
    sequence = lines(b"\x1e1\n\x1e2\n", piece, requests.SEQUENCE)
    assert await batches(sequence) == [[("/0", 1), ("/1", 2)]]
