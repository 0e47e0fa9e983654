"""A private PostGIS cluster for one machine: found, made, started, kept alive and stopped.

`cop.cli` opens one in `COP_DATA_DIR` when no `COP_DATABASE_URL` is set. It has a Unix socket and no TCP port.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

from layers.errors import Unavailable

log = logging.getLogger(__name__)

ROLE = "cop"
PORT = 5432
OLDEST_MAJOR = 14
PROGRAMS = ("initdb", "postgres", "pg_config", "psql")

START_DEADLINE_S = 600.0
"""Recovery of a large cluster after a crash takes minutes; a dead postmaster is noticed at once."""
STOP_DEADLINE_S = 60.0
SPAWN_DEADLINE_S = 60.0
"""Until the server has written its pid file, which takes milliseconds on a machine that is not overloaded."""

SOCKET_NAME = f".s.PGSQL.{PORT}"
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
MAX_SOCKET_PATH = 103
# Not tempfile.gettempdir(), which is long on macOS; `_make_folder` refuses what somebody else put there.
SHORT_FOLDER = Path("/tmp")  # noqa: S108

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

INSTALL_HINT = (
    "install PostgreSQL with PostGIS (Debian and Ubuntu: apt-get install postgresql postgresql-postgis; "
    "macOS: brew install postgis) or set COP_DATABASE_URL"
)


@dataclass(frozen=True, slots=True)
class Programs:
    """The server programs of one PostgreSQL installation, all from one folder."""

    folder: Path
    major: int
    postgis: bool

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system user the server runs as; never root. `switch` is for subprocess."""

    name: str
    uid: int
    gid: int
    switch: bool

    @property
    def popen(self) -> dict[str, Any]:
        """Keyword arguments that make a subprocess run as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def own(self, path: Path) -> None:
        """Give *path* to the account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, folder: Path) -> bool:
        """Whether the account may pass through *folder* and all folders above it."""
        return not self.switch or _call(["test", "-x", str(folder)], self).returncode == 0


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
        self.home = _home(self.data_dir, self.account)
        self.data = self.home / "data"
        self.sockets = _socket_folder(self.home)
        self.programs = programs or choose_programs(find_programs(), self._made_by(), self.data)
        self._child: int | None = None

    @classmethod
    @contextmanager
    def open(cls, data_dir: Path) -> Iterator[Cluster]:
        """Make, start or join the cluster in *data_dir*; leave it, and stop it if nobody else has it open.

        SIGTERM and SIGHUP, which would end the process on the spot, end it by `SystemExit` in the meantime.
        """
        cluster = cls(data_dir)
        with _ended_by_exception(signal.SIGTERM, signal.SIGHUP), cluster._in_use():
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
        answer = _call([self.programs["psql"], "-XqAtw", "-v", "ON_ERROR_STOP=1", *address, "-c", sql])
        if answer.returncode != 0:
            raise Unavailable(f"PostgreSQL refused “{sql[:80]}”: {_reason(answer.stderr)}")
        return answer.stdout.strip()

    def postmaster(self) -> Postmaster | None:
        """The server that runs on this cluster now, whoever started it."""
        with suppress(OSError, ValueError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            found = Postmaster(
                int(lines[0]), lines[2], Path(lines[4]), lines[7].strip() if len(lines) > 7 else ""
            )
            if _serves(found.pid, self.data):
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
            _wait(lambda: self._reaped() and self.postmaster() is None, STOP_DEADLINE_S)
        (self.home / "started").unlink(missing_ok=True)
        if not self.sockets.is_relative_to(self.home):
            with suppress(OSError):
                self.sockets.rmdir()

    # --- several processes at once

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Hold a place among the users of the cluster; the kernel gives it back if this process is killed."""
        with _lock_file(self.home / "users.lock") as users:
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
        with _lock_file(self.home / "start.lock") as lock:
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
        made = _call(command, self.account)
        if made.returncode != 0:
            raise Unavailable(f"PostgreSQL could not make {self.data}: {_reason(made.stderr)}")
        self._admit(making)
        making.rename(self.data)
        _sync(self.home)

    def _admit(self, data: Path) -> None:
        """Let in who runs the service and who runs the server, known by the kernel, and nobody else."""
        names = sorted({self.account.name, pwd.getpwuid(os.geteuid()).pw_name})
        (data / "pg_hba.conf").write_text("local all all peer map=cop\n")
        (data / "pg_ident.conf").write_text("".join(f'cop "{name}" {ROLE}\n' for name in names))

    def _launch(self) -> None:
        self._end_orphans()
        self._sweep_stale_locks()
        _make_folder(self.sockets, self.account)
        settings = SETTINGS | {"unix_socket_directories": f'"{self.sockets}"'}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + 15
        while True:
            said = self._spawn([self.programs["postgres"], "-D", str(self.data), *options])
            if self.postmaster() is not None:
                break
            # The backends of a killed postmaster need a moment to notice and to let go of its memory.
            if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL did not start: {_reason(said)} (see {self.home / 'log'})")
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
                env=_environment(),
                start_new_session=True,
                **self.account.popen,
            )
        _wait(lambda: process.poll() is not None or self.postmaster() is not None, SPAWN_DEADLINE_S)
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

        _wait(settled, START_DEADLINE_S, pause_s=0.02)
        running = state[0]
        if running is None or running.status != "ready":
            raise Unavailable(f"PostgreSQL did not become ready; {self.home / 'log'} says why.")
        self.sockets = running.sockets

    def _end_orphans(self) -> None:
        """End the backends of a killed postmaster: one that waits for another may otherwise wait for ever.

        What they have committed is on disk; recovery undoes the rest. Where there is no /proc, they are waited for.
        """
        for entry in Path("/proc").glob("[0-9]*"):
            if _serves(int(entry.name), self.data):
                with suppress(ProcessLookupError):
                    os.kill(int(entry.name), signal.SIGKILL)

    def _sweep_stale_locks(self) -> None:
        """Remove lock files whose process number now belongs to something else, which Postgres itself obeys.

        Called only while no server runs on this data directory and nobody else may start one.
        """
        pid_file = self.data / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            if _alive(int(pid_file.read_text().splitlines()[0])):
                pid_file.unlink()
        (self.sockets / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        (self.sockets / SOCKET_NAME).unlink(missing_ok=True)


# --- which PostgreSQL


def find_programs(folders: Iterable[Path] | None = None) -> list[Programs]:
    """Every whole PostgreSQL server installation in *folders*, or in the usual places, PATH first."""
    found: dict[Path, Programs] = {}
    for folder in _usual_folders() if folders is None else folders:
        # /usr/local/bin often holds links to single programs: the folder they live in is the installation.
        if (real := (folder / "postgres").resolve().parent) in found:
            continue
        if all(os.access(real / program, os.X_OK) for program in PROGRAMS) and (major := _major(real)):
            found[real] = Programs(real, major, _has_postgis(real))
    return list(found.values())


def choose_programs(found: list[Programs], made_by: int | None, data: Path) -> Programs:
    """The newest installation with PostGIS that can serve *data*, which version *made_by* made (None: new)."""
    if not found:
        raise Unavailable(f"No PostgreSQL server was found; {INSTALL_HINT}.")
    if made_by is not None and all(programs.major != made_by for programs in found):
        have = ", ".join(str(major) for major in sorted({programs.major for programs in found}))
        raise Unavailable(
            f"{data} was made by PostgreSQL {made_by}, but the version installed is {have}; "
            f"install {made_by} with PostGIS, or choose another COP_DATA_DIR."
        )
    fitting = [programs for programs in found if made_by in (None, programs.major)]
    newest = max(programs.major for programs in fitting)
    if newest < OLDEST_MAJOR:
        raise Unavailable(
            f"PostgreSQL {newest} is too old, {OLDEST_MAJOR} or newer is needed; {INSTALL_HINT}."
        )
    usable = [programs for programs in fitting if programs.postgis and programs.major >= OLDEST_MAJOR]
    if not usable:
        raise Unavailable(f"PostgreSQL {newest} is installed without PostGIS; {INSTALL_HINT}.")
    return max(usable, key=lambda programs: programs.major)


def _usual_folders() -> Iterator[Path]:
    yield from (Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry)
    for root, pattern in (
        ("/usr/lib/postgresql", "*/bin"),
        ("/usr", "pgsql-*/bin"),
        ("/opt/homebrew/opt", "postgresql*/bin"),
        ("/usr/local/opt", "postgresql*/bin"),
        ("/opt/homebrew", "bin"),
    ):
        yield from sorted(Path(root).glob(pattern))


def _major(folder: Path) -> int | None:
    said = _call([str(folder / "postgres"), "--version"]).stdout
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(match[1]) if match else None


def _has_postgis(folder: Path) -> bool:
    share = _call([str(folder / "pg_config"), "--sharedir"]).stdout.strip()
    return bool(share) and (Path(share) / "extension" / "postgis.control").exists()


# --- who runs it, and where


def server_account() -> Account:
    """Who the server runs as: we ourselves, or for root `postgres` if it exists, else `nobody`."""
    if os.geteuid() != 0:
        try:
            return Account(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid(), switch=False)
        except KeyError:
            raise Unavailable(
                f"User {os.geteuid()} has no name on this machine, which PostgreSQL needs; set COP_DATABASE_URL."
            ) from None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise Unavailable(
        "PostgreSQL does not run as root, and there is no user “postgres” or “nobody” to run it as."
    )


def _home(data_dir: Path, account: Account) -> Path:
    """The folder that belongs to the server: `data_dir`/postgres.

    When root starts us below a folder that is root's alone (as /root is), the server could not get there:
    then it lives in /var/lib/cop, and `data_dir`/postgres is a link to it.
    """
    home = data_dir / "postgres"
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True, mode=0o711 if account.switch else 0o700)
        if not home.exists() and not account.reaches(data_dir):
            home.unlink(missing_ok=True)
            home.symlink_to(_home_elsewhere())
        home = home.resolve()
        _make_folder(home, account)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise Unavailable(
            f"The data directory {data_dir} cannot be used ({error.strerror}); choose another with COP_DATA_DIR."
        ) from error
    return home


def _home_elsewhere() -> Path:
    shelter = Path("/var/lib/cop")
    shelter.mkdir(mode=0o711, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="postgres-", dir=shelter))
    home.rmdir()
    return home


def _socket_folder(home: Path) -> Path:
    """Beside the data where the path fits into a socket address, else a short one that only its owner enters."""
    folder = home / "run"
    fits = len(os.fsencode(folder / SOCKET_NAME)) <= MAX_SOCKET_PATH
    # A comma separates hosts and a quote ends a setting: both would need an escape that clients disagree on.
    if fits and not set(str(folder)) & set(",\"'\\"):
        return folder
    return SHORT_FOLDER / f"cop-{sha256(os.fsencode(home)).hexdigest()[:16]}"


def _make_folder(folder: Path, account: Account) -> None:
    """A folder that belongs to the account alone; refuses one that somebody else put in its place."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        account.own(folder)
    status = folder.lstat()
    if status.st_uid != account.uid or not folder.is_dir() or folder.is_symlink():
        raise Unavailable(f"{folder} belongs to another user; remove it or choose another COP_DATA_DIR.")


# --- processes


@contextmanager
def _ended_by_exception(*signals: signal.Signals) -> Iterator[None]:
    """Let *signals* unwind the stack, unless somebody handles them already."""
    main = threading.current_thread() is threading.main_thread()
    ours = [each for each in signals if main and signal.getsignal(each) is signal.SIG_DFL]

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for each in ours:
        signal.signal(each, unwind)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _environment() -> dict[str, str]:
    """Ours without PGDATA, PGPORT and the like, which were meant for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))} | {
        "LC_ALL": "C"
    }


def _call(command: list[str], account: Account | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        env=_environment(),
        check=False,
        **(account.popen if account else {}),
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _serves(pid: int, data: Path) -> bool:
    """Whether process *pid* is the server of *data*: a server's working directory is its data directory."""
    if not _alive(pid):
        return False
    if Path("/proc/self/cwd").exists():
        try:
            return Path(f"/proc/{pid}/cwd").samefile(data)
        except OSError:
            return False
    return str(data) in _call(["ps", "-ww", "-o", "args=", "-p", str(pid)]).stdout


def _mark(running: Postmaster) -> str:
    return f"{running.pid} {running.started}\n"


def _wait(condition: Callable[[], bool], deadline_s: float, pause_s: float = 0.01) -> bool:
    deadline = time.monotonic() + deadline_s
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(pause_s)
    return met


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def _sync(folder: Path) -> None:
    """Make a rename inside *folder* survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(said: str) -> str:
    """The line that says why, out of what a program of PostgreSQL printed: the first complaint caused the others."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"FATAL|PANIC|[Ee]rror|ERROR", line)]
    return (telling or lines[-1:] or ["it said nothing"])[0].rstrip(".")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
