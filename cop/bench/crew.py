"""A process that holds a share of the viewers, and the handle by which the process that started it commands it.

The two talk over a pipe: a command's name and arguments go there, its result or the reason why not come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import uvloop

from cop.bench.judging import Truth, Units, Verdict, cursor_of, judge
from cop.bench.plan import MOST_LIMIT, LoadFailed, Plan, views
from cop.bench.viewer import Recording, Shelf, Socket, connect

AT_ONCE = 64
"""Viewers that shake hands at a time when the load is set up; those who come back after a pause all do at once."""
PATIENCE_S = 120.0
QUIET_S = 1.5
"""Nothing but signs of life for so long: everything that was under way has come."""
SIGN_OF_LIFE_BYTES = 400
ROOMY = "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864"
"""Memory by large pages and in large pieces. All that viewers keep goes to memory that was never touched, and by
small pages the kernel took as long to clear that as everything else in these processes. Known to glibc alone."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Count:
    """What has come to the viewers of a process so far, and the processor time it has used."""

    frames: int
    size: int
    cpu_s: float
    at_ns: int
    """When it was counted, since 1970."""

    def __sub__(self, before: Count) -> Count:
        return Count(
            self.frames - before.frames, self.size - before.size, self.cpu_s - before.cpu_s, self.at_ns
        )


NOTHING = Count(0, 0, 0.0, 0)


class Viewers:
    """The viewers of one process."""

    def __init__(self, plan: Plan, share: int) -> None:
        self._plan = plan
        mine = list(views(plan))[share :: plan.processes]
        self._keys = [plan.key_of(viewer) for viewer in range(plan.viewers)][share :: plan.processes]
        self._recordings = [Recording(view) for view in mine]
        self._shelf = Shelf(self._recordings, plan.keep_bytes // plan.processes)
        self._sockets: list[Socket] = []
        self._since: list[str | None] = []
        self._turn = 0

    async def arrive(self, *, at_once: bool = False) -> list[float]:
        """Open all connections; seconds from now until each viewer holds its view in full.

        Those who were here before come with their cursors.
        """
        self._turn += 1
        room = asyncio.Semaphore(len(self._recordings) if at_once else AT_ONCE)
        begin = time.perf_counter()
        async with asyncio.timeout(PATIENCE_S):
            arrived = await _together([self._one(number, room) for number in range(len(self._recordings))])
        self._sockets = [socket for socket, _ in arrived]
        gc.collect()
        gc.freeze()
        gc.disable()  # Millions of messages are kept and none is in a cycle; a collection would stall the clock.
        return [held - begin for _, held in arrived]

    async def _one(self, number: int, room: asyncio.Semaphore) -> tuple[Socket, float]:
        plan, recording = self._plan, self._recordings[number]
        async with room:
            socket = await connect(self._shelf, recording, plan.address, plan.form, self._keys[number])
            held = socket.until_view(self._turn)
            since = self._since[number] if self._since else None
            limit = min(max(plan.units, 20_000), MOST_LIMIT)
            socket.say(
                {"type": "subscribe", "layers": [plan.layer], "view": recording.view, "n": self._turn}
                | {"limit": limit, "since": {} if since is None else {plan.layer: since}}
            )
            return socket, await held

    async def listen(self) -> None:
        """Open all connections and ask for nothing: for a server that sends to whoever is there."""
        plan = self._plan
        self._sockets = [
            await connect(self._shelf, recording, plan.address, plan.form, key)
            for recording, key in zip(self._recordings, self._keys, strict=True)
        ]

    async def leave(self) -> int:
        """Close all connections; how many viewers know by which cursor to come back."""
        for socket in self._sockets:
            socket.leave()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(socket.gone for socket in self._sockets))
        self._sockets = []
        self._since = [cursor_of(each.messages, self._plan.layer) for each in self._recordings]
        return sum(since is not None for since in self._since)

    async def count(self) -> Count:
        """What has come so far."""
        return Count(
            sum(each.count for each in self._recordings),
            sum(each.size for each in self._recordings),
            time.process_time(),
            time.time_ns(),
        )

    async def settle(self, longest_s: float = 30.0) -> bool:
        """Wait until nothing comes any more but signs of life; whether that was so before *longest_s* had passed."""
        idle = SIGN_OF_LIFE_BYTES * len(self._recordings)
        deadline = time.monotonic() + longest_s
        while time.monotonic() < deadline:
            before = self._shelf.arrived
            await asyncio.sleep(QUIET_S)
            if self._shelf.arrived - before <= idle:
                return True
        return False

    async def ends(self) -> dict[str, int]:
        """How many connections have ended by themselves, by close code."""
        codes = [socket.gone.result() for socket in self._sockets if socket.gone.done()]
        return {code: codes.count(code) for code in sorted(set(codes))}

    async def last(self, marker: str) -> list[int | None]:
        """When each viewer last got a message with *marker* in it, in nanoseconds since 1970."""
        sought = marker.encode()
        return [
            next((arrived for arrived, _, message in reversed(each.messages) if sought in message), None)
            for each in self._recordings
            if each.kept
        ]

    async def judge(self, units: Units, truth: Truth, from_ns: int, to_ns: int) -> Verdict:
        """Hold what was recorded against the truth."""
        return judge(self._recordings, self._plan.layer, units, truth, from_ns, to_ns)


async def _together(jobs: list[Awaitable[Result]]) -> list[Result]:
    """The results of all; the first failure ends the others and is raised as itself."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


class Crew:
    """The handle of one process of viewers: its commands are those of `Viewers`."""

    def __init__(self, pipe: Connection, process: Any) -> None:
        self._pipe = pipe
        self.process = process

    async def ask(self, command: str, *arguments: Any, **options: Any) -> Any:
        """What the command returns there. Raises `LoadFailed` with what it could not do."""
        self._pipe.send((command, arguments, options))
        try:
            done, result = await asyncio.to_thread(self._pipe.recv)
        except EOFError:
            raise LoadFailed(f"A process of viewers has died ({self.process.exitcode}).") from None
        if not done:
            raise LoadFailed(result)
        return result

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self.process.join(5)
        self.process.kill()


class Crews:
    """All processes of viewers, commanded as one; results come in the order of the processes."""

    def __init__(self, crews: list[Crew]) -> None:
        self._crews = crews

    async def all(self, command: str, *arguments: Any, **options: Any) -> list[Any]:
        """The result of each."""
        return await asyncio.gather(*(crew.ask(command, *arguments, **options) for crew in self._crews))

    async def arrive(self, *, at_once: bool = False) -> list[float]:
        """`Viewers.arrive` of all."""
        return [each for share in await self.all("arrive", at_once=at_once) for each in share]

    async def count(self) -> Count:
        """`Viewers.count`, summed up."""
        counts: list[Count] = await self.all("count")
        return Count(
            sum(each.frames for each in counts),
            sum(each.size for each in counts),
            sum(each.cpu_s for each in counts),
            max(each.at_ns for each in counts),
        )


@asynccontextmanager
async def crews(plan: Plan) -> AsyncIterator[Crews]:
    """The plan's processes of viewers, none of whom has arrived yet."""
    context = multiprocessing.get_context("spawn")
    started: list[Crew] = []
    try:
        for share in range(plan.processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, plan, share), daemon=True)
            with _environment(GLIBC_TUNABLES=ROOMY):
                process.start()
            theirs.close()
            started.append(Crew(ours, process))
        yield Crews(started)
    finally:
        for crew in started:
            crew.stop()


@contextmanager
def _environment(**members: str) -> Iterator[None]:
    """What is set for processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update(members)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def serve(pipe: Connection, plan: Plan, share: int) -> None:
    """Do what comes through *pipe* until None does, or its other end is gone."""
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        uvloop.run(_serve(pipe, plan, share))


async def _serve(pipe: Connection, plan: Plan, share: int) -> None:
    viewers = Viewers(plan, share)
    while (command := await asyncio.to_thread(pipe.recv)) is not None:
        name, arguments, options = command
        act: Callable[..., Awaitable[Any]] = getattr(viewers, name)
        try:
            result = (True, await act(*arguments, **options))
        except LoadFailed as error:
            result = (False, str(error))
        except TimeoutError:
            result = (False, f"The viewers waited {PATIENCE_S:.0f} s in vain: the service does not keep up.")
        pipe.send(result)
