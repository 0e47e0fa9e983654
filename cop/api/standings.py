"""What credentials are worth at the live stream's door, remembered so that a crowd that comes back costs no SQL each.

Only the stream's door uses it: reads and writes ask the database each time.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from time import monotonic

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from cop.live.hub import Hub
from cop.live.wire import milliseconds
from layers.credentials import Standing, identify_all, recognised, standing_in
from layers.database import Database

OUT_OF_REACH = (
    TimeoutError,
    OSError,
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
TRUST_S = 1.0
"""For so long after the policy was last asked for, nobody has to ask whether it has moved on."""
MOST_KNOWN = 10_000
"""Credentials that are remembered, about 10 MB; only valid ones are, and the one that came longest ago goes first."""
MOST_AT_ONCE = 1_000
"""Credentials in one statement."""
DEADLINE_S = 3.0
"""For one attempt at the statement, as everybody waits for it; there are two."""


@dataclass(slots=True, eq=False)
class _Round:
    """One statement that is about to be sent, and those who share it."""

    hashes: set[bytes] = field(default_factory=set)
    answer: asyncio.Task[dict[bytes, Standing]] = field(init=False)


class Standings:
    """What the credentials that came lately are worth, under the newest policy that *hub* knows of.

    Whatever ends a credential early, or changes what it is worth, moves the policy's revision in the same
    transaction. So a standing of the newest revision holds until it expires, and it is enough to know that the
    revision is the newest: the pump asks for it all the time. Between the commit of a revocation and the pump's
    hearing of it, which is `TRUST_S` at the most and mostly some milliseconds, its holder may still get in, as who
    is in already may stay; the pump then asks about all of them before the new policy is in force.

    What is not known is asked for one statement at a time, each for all who came during the one before.
    """

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._known: dict[bytes, Standing] = {}
        self._next: _Round | None = None
        """The round that has not begun yet."""
        self._turn = asyncio.Lock()
        self._rounds: set[asyncio.Task[dict[bytes, Standing]]] = set()

    async def of(self, secret: str, *, asking: bool = False) -> Standing:
        """What *secret* is worth; *asking*: by the database now. Raises `Unauthenticated`, or `OUT_OF_REACH`."""
        hash = recognised(secret)
        standing = None if asking else self._recall(hash)
        while standing is None or standing.policy_revision < self._hub.newest_policy:
            standing = await self._ask(hash)
        return standing

    async def close(self) -> None:
        """End what is under way."""
        for task in self._rounds:
            task.cancel()
        await asyncio.gather(*self._rounds, return_exceptions=True)

    def _recall(self, hash: bytes) -> Standing | None:
        """What is known of it, if that is certain to hold; what is outdated is forgotten."""
        standing = self._known.pop(hash, None)
        if standing is None or standing.policy_revision < self._hub.newest_policy:
            return None
        if standing.expires_at is None or milliseconds(standing.expires_at) <= self._hub.clock():
            return None
        self._known[hash] = standing
        return standing if monotonic() - self._hub.policy_asked_s <= TRUST_S else None

    async def _ask(self, hash: bytes) -> Standing:
        asked = self._next
        if asked is None or len(asked.hashes) >= MOST_AT_ONCE:
            asked = self._next = _Round()
            asked.answer = asyncio.create_task(self._run(asked))
            self._rounds.add(asked.answer)
            asked.answer.add_done_callback(self._rounds.discard)
        asked.hashes.add(hash)
        # Who gives up does not take the answer from the others.
        return standing_in(await asyncio.shield(asked.answer), hash)

    async def _run(self, asked: _Round) -> dict[bytes, Standing]:
        async with self._turn:
            if self._next is asked:
                self._next = None  # Who comes from here on is not to be told what was so before.
            asked_s = monotonic()
            policy_revision, found = await self._read(asked.hashes)
            self._hub.hear_of_policy(policy_revision, asked_s)
            for hash in asked.hashes:
                self._known.pop(hash, None)
            self._known |= found
            while len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
            return found

    async def _read(self, hashes: set[bytes]) -> tuple[int, dict[bytes, Standing]]:
        """Asked twice where the first connection turns out to be broken."""
        with contextlib.suppress(*OUT_OF_REACH):
            async with asyncio.timeout(DEADLINE_S), self._database.connect() as connection:
                return await identify_all(connection, hashes)
        async with asyncio.timeout(DEADLINE_S), self._database.connect() as connection:
            return await identify_all(connection, hashes)
