"""A few processes that work out heavy questions, so that the event loop which streams never waits for one."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from typing import Any, TypeVar, TypeVarTuple

from layers.errors import Unavailable

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

DEADLINE_S = 30.0
MAX_WAITING = 16
"""Questions under way or in line; with the deadline they bound how long the last one waits."""


class Analysts:
    """A pool of processes, started when first needed. Close it with `close`."""

    def __init__(
        self, *, processes: int | None = None, max_waiting: int = MAX_WAITING, deadline_s: float = DEADLINE_S
    ) -> None:
        # Half of the machine: the other half streams.
        self._processes = processes or max((os.cpu_count() or 2) // 2, 1)
        self._max_waiting = max_waiting
        self._deadline_s = deadline_s
        self._waiting: Counter[Hashable] = Counter()
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None
        self._board: _Board | None = None

    @property
    def progress(self) -> float:
        """How far the work under way has come, 0 to 1, by what it reports; of one process, as they share a board."""
        return self._board[_SHARE] if self._board is not None else 0.0

    @asynccontextmanager
    async def turn(self, asker: Hashable = None) -> AsyncIterator[None]:
        """A place in line, taken before any work is done for the question. Full: `Unavailable` (`coverage.busy`).

        Nobody takes more than half of the line, so that there is always room for another *asker*.
        """
        most_of_one = self._max_waiting if asker is None else (self._max_waiting + 1) // 2
        if self._waiting.total() >= self._max_waiting or self._waiting[asker] >= most_of_one:
            raise Unavailable("Too many analyses are under way; try again in a moment.", code="coverage.busy")
        self._waiting[asker] += 1
        try:
            yield
        finally:
            self._waiting[asker] -= 1
            if not self._waiting[asker]:
                del self._waiting[asker]

    async def run(self, work: Callable[[*Arguments], Result], *args: *Arguments) -> Result:
        """`work(*args)` in one of the processes; work, arguments and result are pickled. Take a `turn` first.

        Raises what the work raises, and `Unavailable` if it takes longer than the deadline (`coverage.deadline`)
        or if its process dies (`coverage.broken`); the next question finds a new one.
        """
        pool = self._started()
        try:
            future = pool.submit(_within, self._deadline_s, work, args)
            async with asyncio.timeout(self._deadline_s * self._max_waiting):
                return await asyncio.wrap_future(future)
        except (_OutOfTime, TimeoutError):
            detail = (
                f"The analysis took longer than {self._deadline_s:g} s: take a smaller area, or larger cells."
            )
            raise Unavailable(detail, code="coverage.deadline") from None
        except BrokenProcessPool:
            if self._pool is pool:  # The first of several waiters to hear of it makes room for a new pool.
                self.close()
            raise Unavailable(
                "The process that analysed has died; try again.", code="coverage.broken"
            ) from None

    def close(self) -> None:
        """End the processes, also in the middle of their work; who waits for it gets `coverage.broken`."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
        self._board = None

    def kill(self) -> None:
        """`close`, and do not wait for work that is deep in a library to hear of it: of one process only."""
        if self._board is not None and (pid := int(self._board[_PID])):
            # The pool buries a dead one only as it breaks, and then this board is soon gone: the id is not another's.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.close()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned, not forked: a fork would copy the event loop, its sockets and its threads' locks.
            context = multiprocessing.get_context("spawn")
            reader, self._lifeline = context.Pipe(duplex=False)
            self._board = RawArray("d", 2)
            self._pool = ProcessPoolExecutor(
                self._processes, mp_context=context, initializer=_begin, initargs=(reader, self._board)
            )
        return self._pool


def report(share: float) -> None:
    """Say how far the work under way has come, 0 to 1; it only goes onward. Costs nothing, and is nothing elsewhere."""
    for board in _boards:
        board[_SHARE] = max(board[_SHARE], min(share, 1.0))


# What a process and its parent both see: how far the work is, and the process's id.
_Board = Any  # `ctypes.Array[c_double]`, which cannot be written where it is evaluated.
_SHARE, _PID = 0, 1
_boards: list[_Board] = []
"""In an analyst its own; elsewhere none."""


class _OutOfTime(Exception):
    """Raised in the process by its alarm."""


def _begin(lifeline: Connection, board: _Board) -> None:
    """Set up one process: it leaves Ctrl-C to its parent, and goes when its parent lets go, however that ended."""
    _boards.append(board)
    board[_PID] = os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_go_with, args=(lifeline,), daemon=True).start()


def _go_with(lifeline: Connection) -> None:
    # Nothing is ever sent: what comes is the end, when the only writer is closed or has died.
    lifeline.poll(None)
    os._exit(1)


def _within(deadline_s: float, work: Callable[[*Arguments], Result], args: tuple[*Arguments]) -> Result:
    """Run *work* under an alarm: a process that nobody waits for any more would hold up all others."""

    def ring(*_: object) -> None:
        raise _OutOfTime

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    try:
        return work(*args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for board in _boards:
            board[_SHARE] = 0.0
