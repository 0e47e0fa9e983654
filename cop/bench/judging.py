"""What a viewer was told, read from the bytes that came, and held against what was true. Pure.

Everything in a viewer's view must be held as it last was, and whatever is held beyond that must not be outdated:
a unit that has left the sight without a word shows as an old observation, for all units report all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from cop.bench.viewer import Message, Recording

Ints = npt.NDArray[np.int64]

RECORD = np.dtype(
    [
        ("crc", "<u4"),
        ("lng", "<i4"),
        ("lat", "<i4"),
        ("observed", "<u4"),
        ("heading", "<u2"),
        ("speed", "<u2"),
    ]
)
"""One packed move of `cop.live.v1+bin`, 20 bytes."""
GONE = -1
"""In place of an observation: the viewer holds the unit no more."""
STEP_MS = 0.1
LONGEST_MS = 120_000
"""Longer lags count as this one."""


def read_frame(message: bytes, *, binary: bool) -> tuple[dict[str, Any], Iterator[npt.NDArray[np.void]]]:
    """A message's JSON, and the packed records of its layers that have any, in the order of the JSON.

    Raises `ValueError` when a binary message is not laid out as the protocol has it.
    """
    if not binary:
        return orjson.loads(message), iter(())
    size, start = _laid_out(message)
    body = orjson.loads(message[4 : 4 + size])
    counts = [part["packed"] for part in body["layers"].values() if "packed" in part]
    if start + sum(counts) * RECORD.itemsize != len(message):
        raise ValueError(f"{len(message)} bytes for {sum(counts)} records from byte {start}")
    records = np.frombuffer(message, RECORD, sum(counts), start)
    return body, iter(np.split(records, np.cumsum(counts)[:-1]))


def _laid_out(message: bytes) -> tuple[int, int]:
    """The length of a binary message's JSON, and where its records begin."""
    size = int.from_bytes(message[:4], "little")
    return size, -(-(4 + size) // 4) * 4


@dataclass(frozen=True, slots=True)
class Moves:
    """How features were told to have moved: by how many records, of how many bytes together, or in words."""

    records: int = 0
    record_bytes: int = 0
    in_words: int = 0

    def __add__(self, other: Moves) -> Moves:
        return Moves(
            self.records + other.records,
            self.record_bytes + other.record_bytes,
            self.in_words + other.in_words,
        )


def moves_in(message: bytes, body: dict[str, Any], *, binary: bool) -> Moves:
    """The moves of a frame, whose JSON is *body*, of all its layers."""
    parts = body["layers"].values()
    return Moves(
        sum(part.get("packed", 0) for part in parts),
        len(message) - _laid_out(message)[1] if binary else 0,
        sum(len(part.get("move", ())) for part in parts),
    )


def whole_ms(low: npt.NDArray[np.uint32], near_ms: int) -> Ints:
    """The moments whose low 32 bits are *low*, each within 2^31 ms of *near_ms*."""
    distance = (low.astype(np.int64) - near_ms) & 0xFFFF_FFFF
    return near_ms + np.where(distance >= 1 << 31, distance - (1 << 32), distance)


class Units:
    """The units of the load, by number: what ids and packed checksums stand for. Others are passed over."""

    def __init__(self, ids: list[str], checksums: Iterable[int]) -> None:
        self.count = len(ids)
        self._numbers = {id: number for number, id in enumerate(ids)}
        known = np.fromiter(checksums, np.uint32, len(ids))
        self._order = np.argsort(known)
        self._sorted = known[self._order]

    def of_ids(self, ids: list[str]) -> Ints:
        """Their numbers; -1 for an id that is not one of ours."""
        numbers = self._numbers
        return np.fromiter((numbers.get(id, -1) for id in ids), np.int64, len(ids))

    def of_checksums(self, checksums: npt.NDArray[np.uint32]) -> Ints:
        """Their numbers; -1 for a checksum that is none of ours. (One that two of ours share never comes packed.)"""
        places = np.minimum(np.searchsorted(self._sorted, checksums), self.count - 1)
        return np.where(self._sorted[places] == checksums, self._order[places], -1)


@dataclass(slots=True)
class Told:
    """What one viewer was told about the layer: numbers of units and observations (or `GONE`), as they came."""

    units: Ints
    observed: Ints
    arrived_ns: Ints
    held_from: int = 0
    """Rows before this one were dropped by a reset."""
    gaps: int = 0
    summed: bool = False
    """It holds sums instead of features: its sight has too many."""
    complaints: list[str] = field(default_factory=list)
    moves: Moves = Moves()


@dataclass(slots=True)
class _Cursor:
    """The gap check: every part goes on where the last one ended, or says that all is new."""

    epoch: str | None = None
    to: int = 0
    gaps: int = 0

    def follow(self, part: dict[str, Any]) -> None:
        if not part.get("reset") and (part["epoch"] != self.epoch or part["from"] != self.to):
            self.gaps += 1
        self.epoch, self.to = part["epoch"], part["to"]


def gaps(parts: Iterable[dict[str, Any]]) -> int:
    """How often a part of a layer did not go on where the one before had ended."""
    cursor = _Cursor()
    for part in parts:
        cursor.follow(part)
    return cursor.gaps


def told(messages: Iterable[Message], layer: str, units: Units) -> Told:
    """Read all that came to one viewer."""
    cursor, summed, held_from, count = _Cursor(), False, 0, 0
    numbers, moments, arrivals, complaints, moves = [], [], [], [], Moves()
    for arrived, binary, message in messages:
        body, packed = read_frame(message, binary=binary)
        if body["type"] in {"error", "revoked"}:
            complaints.append(message.decode())
        if body["type"] != "frame":
            continue
        moves += moves_in(message, body, binary=binary)
        for name, part in body["layers"].items():
            records = next(packed) if "packed" in part else None
            if name != layer:
                continue
            cursor.follow(part)
            if part.get("reset"):
                held_from, summed = count, "cells" in part
            for unit, observed in _rows(part, records, body["time"], units):
                ours = unit >= 0
                numbers.append(unit[ours])
                moments.append(observed[ours])
                arrivals.append(np.full(len(numbers[-1]), arrived, np.int64))
                count += len(numbers[-1])
    empty = np.empty(0, np.int64)
    return Told(
        np.concatenate([empty, *numbers]),
        np.concatenate([empty, *moments]),
        np.concatenate([empty, *arrivals]),
        held_from,
        cursor.gaps,
        summed,
        complaints,
        moves,
    )


def _rows(
    part: dict[str, Any], records: npt.NDArray[np.void] | None, time_ms: int, units: Units
) -> Iterator[tuple[Ints, Ints]]:
    if gone := part.get("gone"):
        yield units.of_ids([row[0] for row in gone]), np.full(len(gone), GONE, np.int64)
    if put := part.get("put"):
        yield (
            units.of_ids([row["id"] for row in put]),
            np.array([row["observed_at"] for row in put], np.int64),
        )
    if move := part.get("move"):
        yield units.of_ids([row[0] for row in move]), np.array([row[3] for row in move], np.int64)
    if records is not None:
        yield units.of_checksums(records["crc"]), whole_ms(records["observed"], time_ms)


def cursor_of(messages: list[Message], layer: str) -> str | None:
    """Where a viewer stands: `epoch:revision` as its newest frame about the layer says; None: it holds nothing."""
    for _, binary, message in reversed(messages):
        body, _ = read_frame(message, binary=binary)
        if body["type"] == "frame" and (part := body["layers"].get(layer)):
            return f"{part['epoch']}:{part['to']}"
    return None


@dataclass(frozen=True, slots=True)
class Truth:
    """What was true in the end, and when each observation was received; arrays by number of unit, or parallel."""

    lng: npt.NDArray[np.float64]
    lat: npt.NDArray[np.float64]
    observed_ms: Ints
    stamps_ms: Ints
    """Every moment at which a batch was observed, in order; no two batches share one."""
    received_ns: Ints
    """When the service received each of those: taken when it locks the layer, just before it commits."""

    def lost(self, told: Told, view: dict[str, Any]) -> int:
        """Units in *view* that are not held as they last were, and units elsewhere that are held outdated."""
        held = np.full(len(self.lng), GONE, np.int64)
        held[told.units[told.held_from :]] = told.observed[
            told.held_from :
        ]  # The last of equal numbers stays.
        west, south, east, north = view["bbox"]
        inside = (self.lng >= west) & (self.lng <= east) & (self.lat >= south) & (self.lat <= north)
        return int(np.count_nonzero((held != self.observed_ms) & (inside | (held != GONE))))

    def lags_ms(self, told: Told, from_ns: int, to_ns: int) -> npt.NDArray[np.float64]:
        """Lags of the rows that were received by the service within that time."""
        places = np.minimum(np.searchsorted(self.stamps_ms, told.observed), max(len(self.stamps_ms) - 1, 0))
        if not len(self.stamps_ms):
            return np.empty(0)
        received = self.received_ns[places]
        measured = (self.stamps_ms[places] == told.observed) & (received >= from_ns) & (received <= to_ns)
        lags: npt.NDArray[np.float64] = (told.arrived_ns[measured] - received[measured]) / 1e6
        return lags


class Lags:
    """Lags counted in steps of 0.1 ms: millions in a few megabytes, and those of several processes add up."""

    def __init__(self, counts: Ints | None = None) -> None:
        self.counts = np.zeros(int(LONGEST_MS / STEP_MS) + 1, np.int64) if counts is None else counts

    def add(self, lags_ms: npt.NDArray[np.float64]) -> None:
        """Count these."""
        steps = np.clip(np.rint(lags_ms / STEP_MS), 0, len(self.counts) - 1).astype(np.int64)
        if len(steps):
            found = np.bincount(steps)
            self.counts[: len(found)] += found

    def __add__(self, other: Lags) -> Lags:
        return Lags(self.counts + other.counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def percentile(self, percent: float) -> float:
        """The smallest lag, in milliseconds, that at least *percent* of them do not exceed; nan when there is none."""
        below = np.cumsum(self.counts)
        if not below[-1]:
            return float("nan")
        return float(np.searchsorted(below, below[-1] * percent / 100)) * STEP_MS


@dataclass(slots=True)
class Verdict:
    """What the recordings of one or more processes say, added up."""

    lags: Lags = field(default_factory=Lags)
    lost: int = 0
    gaps: int = 0
    checked: int = 0
    """Viewers whose recording was kept whole and read."""
    summed: int = 0
    """Of them, those who held sums instead of features, which are not compared."""
    rows: int = 0
    """Moved, new and gone units that they were told of within the time measured."""
    row_bytes: int = 0
    """And the bytes of their frames then."""
    moves: Moves = Moves()
    """How they were told of moves, from the beginning to the end."""
    complaints: list[str] = field(default_factory=list)
    """The first few errors that the service sent."""

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.lags + other.lags,
            self.lost + other.lost,
            self.gaps + other.gaps,
            self.checked + other.checked,
            self.summed + other.summed,
            self.rows + other.rows,
            self.row_bytes + other.row_bytes,
            self.moves + other.moves,
            (self.complaints + other.complaints)[:8],
        )


def judge(
    recordings: Iterable[Recording], layer: str, units: Units, truth: Truth, from_ns: int, to_ns: int
) -> Verdict:
    """Hold what was kept against *truth*; lags and bytes of what came between the two moments."""
    verdict = Verdict()
    for recording in recordings:
        if not recording.kept:
            continue
        heard = told(recording.messages, layer, units)
        verdict.checked += 1
        verdict.gaps += heard.gaps
        verdict.complaints = (verdict.complaints + heard.complaints)[:8]
        verdict.summed += heard.summed
        verdict.moves += heard.moves
        verdict.lost += 0 if heard.summed else truth.lost(heard, recording.view)
        verdict.lags.add(truth.lags_ms(heard, from_ns, to_ns))
        within = (heard.arrived_ns >= from_ns) & (heard.arrived_ns <= to_ns)
        verdict.rows += int(np.count_nonzero(within))
        verdict.row_bytes += sum(
            len(message) for arrived, _, message in recording.messages if from_ns <= arrived <= to_ns
        )
    return verdict
