"""A private PostGIS cluster for one machine: made, started, joined, kept alive and stopped."""

from __future__ import annotations

import fcntl
import logging
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cop.embedded.account import server_account
from cop.embedded.folders import PORT, SOCKET_NAME, home_of, lock_file, make_folder, socket_folder, sync
from cop.embedded.processes import alive, call, ended_by_exception, environment, reason, serves, wait_until
from cop.embedded.programs import Programs, choose_programs, find_programs
from layers.errors import Unavailable

log = logging.getLogger(__name__)

ROLE = "cop"
START_DEADLINE_S = 600.0
"""Recovery of a large cluster after a crash takes minutes; a dead postmaster is noticed at once."""
STOP_DEADLINE_S = 60.0
SPAWN_DEADLINE_S = 60.0
"""Until the server has written its pid file, which takes milliseconds on a machine that is not overloaded."""

# Given on the command line, so that neither a configuration file nor ALTER SYSTEM undoes a promise.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
}
LOG_LIMIT_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a running server says of itself in `postmaster.pid`."""

    pid: int
    started: str
    sockets: Path
    status: str


class Cluster:
    """A PostGIS cluster in `data_dir`/postgres. Use `with Cluster.open(data_dir) as cluster`.

    Several processes may have it open at once: the first starts the server, the last one out stops it,
    whoever started it and even if that process was killed. A server started by hand is used and left running.
    While it is open, a server that dies is started again; acknowledged transactions are kept.

    Raises `Unavailable`, with one sentence that says what to do, where that is not possible.
    """

    def __init__(self, data_dir: Path, programs: Programs | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.account = server_account()
        self.home = home_of(self.data_dir, self.account)
        self.data = self.home / "data"
        self.sockets = socket_folder(self.home)
        self.programs = programs or choose_programs(find_programs(), self._made_by(), self.data)
        self._child: int | None = None

    @classmethod
    @contextmanager
    def open(cls, data_dir: Path) -> Iterator[Cluster]:
        """Make, start or join the cluster in *data_dir*; leave it, and stop it if nobody else has it open.

        SIGTERM and SIGHUP, which would end the process on the spot, end it by `SystemExit` in the meantime.
        """
        cluster = cls(data_dir)
        with ended_by_exception(signal.SIGTERM, signal.SIGHUP), cluster._in_use():
            closing = threading.Event()
            keeper = threading.Thread(
                target=cluster._keep, args=(closing,), name="postgres-keeper", daemon=True
            )
            keeper.start()
            try:
                yield cluster
            finally:
                closing.set()
                keeper.join()

    @property
    def url(self) -> str:
        """libpq-style address of the database `cop`, as asyncpg takes it."""
        return self.url_of(ROLE)

    def url_of(self, database: str) -> str:
        """Address of another database of this cluster."""
        return f"postgresql://{ROLE}@/{quote(database, safe='')}?host={quote(str(self.sockets))}&port={PORT}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, a copy of *template* if given, and return its address."""
        source = f" TEMPLATE {_quoted(template)}" if template else ""
        # A PostGIS template is 300 small files: copied in 95 ms as files, in 145 ms through the log.
        how = " STRATEGY FILE_COPY" if template and self.programs.major >= 15 else ""
        self.execute(f"CREATE DATABASE {_quoted(name)}{source}{how}")
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, closing whatever is still connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run one statement outside a transaction; returns the rows as psql prints them unaligned."""
        address = ["-h", str(self.sockets), "-p", str(PORT), "-U", ROLE, "-d", database]
        answer = call([self.programs["psql"], "-XqAtw", "-v", "ON_ERROR_STOP=1", *address, "-c", sql])
        if answer.returncode != 0:
            raise Unavailable(f"PostgreSQL refused “{sql[:80]}”: {reason(answer.stderr)}")
        return answer.stdout.strip()

    def postmaster(self) -> Postmaster | None:
        """The server that runs on this cluster now, whoever started it."""
        with suppress(OSError, ValueError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            found = Postmaster(
                int(lines[0]), lines[2], Path(lines[4]), lines[7].strip() if len(lines) > 7 else ""
            )
            if serves(found.pid, self.data):
                return found
        return None

    def start(self) -> None:
        """Make the cluster if it is new and start it if it does not run; returns when it takes connections."""
        if self.postmaster() is None:
            if not self.data.exists():
                self._make()
            self._launch()
        self._await_ready()
        if ROLE not in self.execute("SELECT datname FROM pg_database").split():
            self.create_database(ROLE)

    def stop(self) -> None:
        """Stop the server, if it runs: open transactions are rolled back, committed ones are flushed."""
        for how in (signal.SIGINT, signal.SIGQUIT):
            if (running := self.postmaster()) is None:
                break
            with suppress(ProcessLookupError):
                os.kill(running.pid, how)
            wait_until(lambda: self._reaped() and self.postmaster() is None, STOP_DEADLINE_S)
        (self.home / "started").unlink(missing_ok=True)
        if not self.sockets.is_relative_to(self.home):
            with suppress(OSError):
                self.sockets.rmdir()

    # --- several processes at once

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Hold a place among the users of the cluster; the kernel gives it back if this process is killed."""
        with lock_file(self.home / "users.lock") as users:
            with self._alone():
                fcntl.flock(users, fcntl.LOCK_SH)
                self.start()
            try:
                yield
            finally:
                with self._alone(), suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if self._started_by_us():
                        self.stop()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time starts or stops the server."""
        with lock_file(self.home / "start.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _started_by_us(self) -> bool:
        running = self.postmaster()
        with suppress(OSError):
            return running is not None and (self.home / "started").read_text() == _mark(running)
        return False

    def _keep(self, closing: threading.Event) -> None:
        """Start the server again when it dies. A failure is logged, and tried again after five seconds."""
        pause_s = 0.25
        while not closing.wait(pause_s):
            self._reaped()
            if self.postmaster() is not None:
                continue
            try:
                with self._alone():
                    if not closing.is_set():
                        log.warning("PostgreSQL is gone; starting it again.")
                        self.start()
                pause_s = 0.25
            except Unavailable as error:
                pause_s = 5.0
                log.error("PostgreSQL could not be started again: %s", error)

    def _reaped(self) -> bool:
        """Collect our child if it has ended, so that it does not linger as a zombie; always True."""
        if self._child is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._child, os.WNOHANG)
        return True

    # --- making and starting

    def _made_by(self) -> int | None:
        """The major version that made the data directory, None when there is none yet."""
        if not self.data.exists():
            return None
        try:
            return int((self.data / "PG_VERSION").read_text().split(".")[0])
        except (OSError, ValueError):
            raise Unavailable(
                f"{self.data} is not a PostgreSQL data directory; move it away or choose another COP_DATA_DIR."
            ) from None

    def _make(self) -> None:
        """Run initdb beside the final place and rename, so that a data directory is whole or absent."""
        for left in self.home.glob("data.making-*"):
            shutil.rmtree(left, ignore_errors=True)
        # A new name each time: the initdb of a killed service may still be writing under the old one.
        making = self.home / f"data.making-{os.getpid()}-{time.time_ns()}"
        command = [self.programs["initdb"], "-D", str(making), "-U", ROLE, "--encoding=UTF8", "--locale=C"]
        command += ["--data-checksums", "--auth=reject"]
        made = call(command, **self.account.popen)
        if made.returncode != 0:
            raise Unavailable(f"PostgreSQL could not make {self.data}: {reason(made.stderr)}")
        self._admit(making)
        making.rename(self.data)
        sync(self.home)

    def _admit(self, data: Path) -> None:
        """Let in who runs the service and who runs the server, known by the kernel, and nobody else."""
        names = sorted({self.account.name, pwd.getpwuid(os.geteuid()).pw_name})
        (data / "pg_hba.conf").write_text("local all all peer map=cop\n")
        (data / "pg_ident.conf").write_text("".join(f'cop "{name}" {ROLE}\n' for name in names))

    def _launch(self) -> None:
        self._end_orphans()
        self._sweep_stale_locks()
        make_folder(self.sockets, self.account)
        settings = SETTINGS | {"unix_socket_directories": f'"{self.sockets}"'}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + 15
        while True:
            said = self._spawn([self.programs["postgres"], "-D", str(self.data), *options])
            if self.postmaster() is not None:
                break
            # The backends of a killed postmaster need a moment to notice and to let go of its memory.
            if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL did not start: {reason(said)} (see {self.home / 'log'})")
            time.sleep(0.2)
        running = self.postmaster()
        if running is not None:
            (self.home / "started").write_text(_mark(running))

    def _spawn(self, command: list[str]) -> str:
        """Start the server apart from our terminal; returns once it has its pid file, or with what it said."""
        path = self.home / "log"
        with suppress(OSError):
            if path.stat().st_size > LOG_LIMIT_BYTES:
                path.replace(self.home / "log.1")
        with path.open("ab") as sink:
            begin = sink.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self.home,
                env=environment(),
                start_new_session=True,
                **self.account.popen,
            )
        wait_until(lambda: process.poll() is not None or self.postmaster() is not None, SPAWN_DEADLINE_S)
        if process.returncode is None:
            # The server may outlive us: Popen must neither wait for it nor warn of it; `_reaped` collects it.
            self._child, process.returncode = process.pid, 0
        with path.open("rb") as source:
            source.seek(begin)
            return source.read(100_000).decode(errors="replace")

    def _await_ready(self) -> None:
        """Wait through start-up or recovery; the socket folder is where the server says it is."""
        state: list[Postmaster | None] = [None]

        def settled() -> bool:
            self._reaped()
            state[0] = self.postmaster()
            return state[0] is None or state[0].status == "ready"

        wait_until(settled, START_DEADLINE_S, pause_s=0.02)
        running = state[0]
        if running is None or running.status != "ready":
            raise Unavailable(f"PostgreSQL did not become ready; {self.home / 'log'} says why.")
        self.sockets = running.sockets

    def _end_orphans(self) -> None:
        """End the backends of a killed postmaster: one that waits for another may otherwise wait for ever.

        What they have committed is on disk; recovery undoes the rest. Where there is no /proc, they are waited for.
        """
        for entry in Path("/proc").glob("[0-9]*"):
            if serves(int(entry.name), self.data):
                with suppress(ProcessLookupError):
                    os.kill(int(entry.name), signal.SIGKILL)

    def _sweep_stale_locks(self) -> None:
        """Remove lock files whose process number now belongs to something else, which Postgres itself obeys.

        Called only while no server runs on this data directory and nobody else may start one.
        """
        pid_file = self.data / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            if alive(int(pid_file.read_text().splitlines()[0])):
                pid_file.unlink()
        (self.sockets / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        (self.sockets / SOCKET_NAME).unlink(missing_ok=True)


def _mark(running: Postmaster) -> str:
    return f"{running.pid} {running.started}\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
