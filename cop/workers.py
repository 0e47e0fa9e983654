"""Several processes that serve on one listening socket: started, watched, replaced one by one, stopped together.

SIGTERM and SIGINT stop them all, and a second one does so at once; SIGHUP replaces one after the other, each by a
process that is ready before the old one is told to go. uvicorn has such a supervisor too, but while it replaces
workers it hears no signal and misses deaths, it takes a worker that listens for one that is ready, it ends the
service when a worker cannot start again, and its workers outlive it when it is killed.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from time import monotonic, sleep
from types import FrameType

import uvicorn

from cop.process import Server

logger = logging.getLogger("cop.workers")

LOOK_EVERY_S = 0.2
REPORT_EVERY_S = 0.25
READY_WITHIN_S = 60.0
"""A new worker that is not ready by then takes nobody's place."""
HUNG_S = 20.0
"""A worker whose event loop has stood still for so long is ended; its viewers have been without a frame as long."""
PAUSE_S = (0.5, 30.0)
"""Between a worker that could not start and the next attempt; it doubles, and starts anew with one that could."""
ORPHANED_S = 30.0
"""A worker whose supervisor is gone finishes what is under way; by then it ends, whatever it is at."""
FAILED = 3
"""The exit code of a service whose first workers could not start."""

_spawn = multiprocessing.get_context("spawn")  # A new interpreter: after an update, it runs the new code.


class Word(StrEnum):
    """What a worker is told."""

    STOP = "stop"
    """Stop, and answer for the whole window."""
    LEAVE = "leave"
    """Stop, as soon as nobody is left."""
    RETIRE = "retire"
    """Stop, and leave new connections to the others."""
    CUT = "cut"
    """Stop at once."""


class Worker:
    """A process that serves, as its supervisor sees it."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self.line, theirs = _spawn.Pipe()
        self.process = _spawn.Process(target=serve, args=(config, listener, theirs))
        self.process.start()
        theirs.close()
        self.started_at = monotonic()
        self.ready = False
        self.was_ready = False
        self._ticked_at = 0.0
        self.alive_at = monotonic()
        """When its event loop was last seen to have had a turn."""

    def __str__(self) -> str:
        return f"worker {self.process.pid}"

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return not self.process.is_alive()

    def tell(self, word: Word) -> None:
        """Say what to do."""
        with suppress(OSError):
            self.line.send(word)

    def hear(self) -> None:
        """Take in what it has reported."""
        with suppress(EOFError, OSError):
            while self.line.poll():
                self.ready, ticked_at = self.line.recv()
                self.was_ready = self.was_ready or self.ready
                if ticked_at != self._ticked_at:
                    self._ticked_at, self.alive_at = ticked_at, monotonic()

    def bury(self) -> None:
        """End the process, if it has not ended, and let go of it."""
        self.process.kill()
        self.process.join()
        self.line.close()


class Supervisor:
    """Keeps as many workers as *config* asks for, until it is told to stop."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self._config = config
        self._listener = listener
        self._workers: list[Worker] = []
        """Those that serve, and those that are to."""
        self._to_replace: list[Worker] = []
        self._newcomer: Worker | None = None
        """Takes the place of the first of those once it is ready."""
        self._leaving: list[Worker] = []
        self._signals: list[int] = []
        self._stopping = False
        self._failed = False
        self._served = False
        """Whether any worker was ever ready."""
        self._pause_s = 0.0
        self._start_at = 0.0
        self._turned_at = monotonic()

    def run(self) -> int:
        """Supervise until told to stop and all workers have; the exit code."""
        with self._listening():
            while not (self._stopping and not self._everyone()):
                self._turn()
                wait([worker.process.sentinel for worker in self._everyone()], LOOK_EVERY_S)
        return FAILED if self._failed else 0

    def _everyone(self) -> list[Worker]:
        newcomer = [] if self._newcomer is None else [self._newcomer]
        return [*self._workers, *newcomer, *self._leaving]

    @contextmanager
    def _listening(self) -> Iterator[None]:
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

        def note(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        before = {each: signal.signal(each, note) for each in handled}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _turn(self) -> None:
        while self._signals:
            self._heed(self._signals.pop(0))
        for worker in self._everyone():
            worker.hear()
            if worker.was_ready:
                self._served, self._pause_s = True, 0.0
        self._bury_the_dead()
        self._end_the_hung()
        if not self._stopping:
            self._replace_next()
            self._fill_places()

    def _heed(self, number: int) -> None:
        if number == signal.SIGHUP and not _terminal_is_gone():
            if not self._stopping:
                logger.info("Replacing the workers, one after the other.")
                self._to_replace = list(self._workers)
            return
        word = Word.CUT if self._stopping else Word.LEAVE if number == signal.SIGINT else Word.STOP
        self._stop(word)

    def _stop(self, word: Word) -> None:
        self._stopping = True
        self._to_replace = []
        self._listener.close()  # Else whoever comes when the workers have closed theirs would wait for nobody.
        for worker in self._everyone():
            worker.tell(word)
            if word is Word.CUT and not worker.was_ready:
                worker.process.kill()  # It may still be waiting for a database, and not listen to us.

    def _bury_the_dead(self) -> None:
        for worker in [each for each in self._everyone() if each.ended]:
            worker.bury()
            if worker in self._leaving:
                self._leaving.remove(worker)
            elif worker is self._newcomer:
                self._give_up(f"{worker} ended with {worker.process.exitcode}")
            elif not self._stopping:
                self._workers.remove(worker)
                self._mourn(worker)
            else:
                self._workers.remove(worker)

    def _end_the_hung(self) -> None:
        now, before = monotonic(), self._turned_at
        self._turned_at = now
        for worker in self._workers:
            if now - before > HUNG_S / 4:
                worker.alive_at = now  # The whole machine stood still, and we with it.
            if worker.was_ready and now - worker.alive_at > HUNG_S and not self._stopping:
                logger.error("%s has stood still for %g s and is ended.", worker, HUNG_S)
                worker.process.kill()

    def _mourn(self, worker: Worker) -> None:
        self._to_replace = [each for each in self._to_replace if each is not worker]
        if not self._served and worker.process.exitcode == uvicorn.config.STARTUP_FAILURE:
            logger.error("%s could not start; its words are above.", worker)
            self._failed = True
            self._stop(Word.CUT)
            return
        logger.error("%s has died (%s); another is started.", worker, worker.process.exitcode)
        if not worker.was_ready:
            first, longest = PAUSE_S
            self._pause_s = min(max(self._pause_s * 2, first), longest)
            self._start_at = monotonic() + self._pause_s

    def _fill_places(self) -> None:
        while len(self._workers) < self._config.workers and monotonic() >= self._start_at:
            self._workers.append(Worker(self._config, self._listener))

    def _replace_next(self) -> None:
        newcomer = self._newcomer
        if newcomer is not None and newcomer.ready:
            self._newcomer = None
            self._workers.append(newcomer)
            if self._to_replace:
                old = self._to_replace.pop(0)
                self._workers.remove(old)
                self._leaving.append(old)
                old.tell(Word.RETIRE)
                logger.info("%s is ready; %s leaves.", newcomer, old)
            return
        if newcomer is not None and monotonic() - newcomer.started_at > READY_WITHIN_S:
            newcomer.bury()
            self._give_up(f"{newcomer} was not ready within {READY_WITHIN_S:g} s")
        elif newcomer is None and self._to_replace and not self._leaving:
            self._newcomer = Worker(self._config, self._listener)

    def _give_up(self, why: str) -> None:
        logger.error("%s; the workers that have not been replaced yet go on.", why)
        self._newcomer, self._to_replace = None, []


def _terminal_is_gone() -> bool:
    """Whether SIGHUP came because the terminal that we were started in was closed."""
    try:
        os.ttyname(0)
    except OSError as error:
        return error.errno == 5  # EIO; ENOTTY: there never was one.
    return False


def serve(config: uvicorn.Config, listener: socket.socket, line: Connection) -> None:
    """A worker's process, from beginning to end."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(
            each, signal.SIG_IGN
        )  # A terminal sends them to us too, but they are for the supervisor.
    config.configure_logging()
    server = Server(config)
    threading.Thread(target=_heed, args=(server, line), name="supervisor", daemon=True).start()
    server.run([listener])
    sys.exit(0 if server.started else uvicorn.config.STARTUP_FAILURE)


def _heed(server: Server, line: Connection) -> None:
    """Report, and do what we are told; when the supervisor is gone, however it went, stop."""
    try:
        while True:
            if not line.poll(REPORT_EVERY_S):
                line.send((server.ready, server.ticked_at))
                continue
            match Word(line.recv()):
                case Word.STOP:
                    server.stop(stay=True)
                case Word.LEAVE:
                    server.stop(stay=False)
                case Word.RETIRE:
                    server.retire()
                case Word.CUT:
                    server.cut()
    except (EOFError, OSError):
        server.stop(stay=False)
        # Nobody is left who would end us if something does not come to its end.
        sleep(ORPHANED_S)
        server.cut()
        sleep(ORPHANED_S / 6)
        os._exit(1)
