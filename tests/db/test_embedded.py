"""The private cluster with real processes: killed, torn, locked, shared and refused."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest

from cop.embedded.account import server_account
from cop.embedded.cluster import Cluster
from cop.embedded.folders import MAX_SOCKET_PATH, SOCKET_NAME
from cop.embedded.programs import Programs, choose_programs, find_programs
from layers.errors import Unavailable

ROOT = Path(__file__).parents[2]


# --- refusals, one sentence each


def test_no_server_is_refused_with_what_to_install() -> None:
    with pytest.raises(
        Unavailable, match=r"^No PostgreSQL server was found; install .* set COP_DATABASE_URL\.$"
    ):
        choose_programs(find_programs([]), None, Path("data"))


def test_server_without_postgis_is_refused() -> None:
    with pytest.raises(Unavailable, match=r"^PostgreSQL 16 is installed without PostGIS; install "):
        choose_programs([Programs(Path("a"), 16, postgis=False)], None, Path("data"))


def test_too_old_a_server_is_refused() -> None:
    with pytest.raises(Unavailable, match=r"^PostgreSQL 13 is too old, 14 or newer is needed; install "):
        choose_programs([Programs(Path("a"), 13, postgis=True)], None, Path("data"))


def test_data_of_another_version_is_refused_naming_both() -> None:
    with pytest.raises(
        Unavailable, match=r"^data was made by PostgreSQL 14, but the version installed is 15, 17; "
    ):
        choose_programs([_server("a", 17), _server("b", 15)], 14, Path("data"))


def test_folder_with_a_single_program_is_not_an_installation(tmp_path: Path) -> None:
    (tmp_path / "pg_ctl").symlink_to(find_programs()[0]["postgres"])
    assert find_programs([tmp_path]) == []


def test_damaged_data_directory_is_refused(open_folder: Path) -> None:
    data = open_folder / "cop" / "postgres" / "data"
    with Cluster.open(open_folder / "cop"):
        pass
    (data / "PG_VERSION").write_text("not a version")
    with pytest.raises(Unavailable, match=r"is not a PostgreSQL data directory; move it away"):
        Cluster(open_folder / "cop")


def test_data_directory_of_another_major_version_is_refused(open_folder: Path) -> None:
    with Cluster.open(open_folder / "cop"):
        pass
    (open_folder / "cop" / "postgres" / "data" / "PG_VERSION").write_text("11\n")
    with pytest.raises(
        Unavailable, match=r"data was made by PostgreSQL 11, but the version installed is \d+"
    ):
        Cluster(open_folder / "cop")


def test_read_only_folder_is_refused(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with (
        _unprivileged(),
        pytest.raises(Unavailable, match=r"cannot be used \(Permission denied\); choose another"),
    ):
        Cluster(open_folder / "cop")
    open_folder.chmod(0o755)


def test_file_in_place_of_the_folder_is_refused(open_folder: Path) -> None:
    (open_folder / "cop").write_text("")
    with pytest.raises(Unavailable, match=r"cannot be used \(Not a directory\); choose another"):
        Cluster(open_folder / "cop")


def test_initdb_that_fails_leaves_nothing_that_looks_whole(open_folder: Path) -> None:
    real = find_programs()[0]
    folder = open_folder / "bin"
    folder.mkdir()
    (folder / "initdb").write_text(
        "#!/bin/sh\nfor last; do :; done; echo 'initdb: error: no space left' >&2; exit 1\n"
    )
    (folder / "initdb").chmod(0o755)
    cluster = Cluster(open_folder / "cop", Programs(folder, real.major, postgis=True))
    with pytest.raises(Unavailable, match=r"could not make .*no space left"):
        cluster.start()
    assert not cluster.data.exists()


# --- which server


def test_newest_server_with_postgis_is_taken() -> None:
    found = [_server("a", 14), Programs(Path("b"), 18, postgis=False), _server("c", 16)]
    assert choose_programs(found, None, Path("data")).major == 16


def test_server_that_made_the_data_is_taken_before_a_newer_one() -> None:
    assert choose_programs([_server("a", 14), _server("b", 16)], 14, Path("data")).major == 14


def test_links_lead_to_the_whole_installation(tmp_path: Path) -> None:
    real = find_programs()[0]
    (tmp_path / "postgres").symlink_to(real["postgres"])
    assert find_programs([tmp_path, real.folder]) == [real]


# --- the running cluster


def test_no_tcp_port_and_durable(cluster: Cluster) -> None:
    shown = [cluster.execute(f"SHOW {name}") for name in ("listen_addresses", "fsync", "synchronous_commit")]
    assert shown == ["", "on", "on"]


def test_server_does_not_run_as_root(cluster: Cluster) -> None:
    running = cluster.postmaster()
    assert running is not None
    assert Path(f"/proc/{running.pid}").stat().st_uid == server_account().uid != 0


def test_another_user_is_not_let_in(cluster: Cluster) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    cluster.sockets.chmod(0o711)
    cluster.sockets.parent.chmod(0o711)
    (cluster.sockets / SOCKET_NAME).chmod(0o777)
    answer = subprocess.run(
        [cluster.programs["psql"], "-h", str(cluster.sockets), "-U", "cop", "-d", "cop", "-c", "SELECT 1"],
        user="nobody", capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert "Peer authentication failed" in answer.stderr


def test_database_is_copied_from_its_template(cluster: Cluster) -> None:
    cluster.create_database("mould")
    cluster.execute("CREATE TABLE mark (n int)", "mould")
    cluster.create_database("cast", "mould")
    assert cluster.execute("SELECT count(*) FROM mark", "cast") == "0"
    cluster.drop_database("cast")
    cluster.drop_database("mould")


def test_folder_too_long_for_a_socket_gets_a_short_one(open_folder: Path) -> None:
    with Cluster.open(open_folder / ("x" * 90)) as cluster:
        assert len(str(cluster.sockets / SOCKET_NAME)) <= MAX_SOCKET_PATH
        assert asyncio.run(_one(cluster.url, "SELECT 1")) == 1


def test_folder_with_odd_characters_works(open_folder: Path) -> None:
    with Cluster.open(open_folder / "a b, 'c' & % ü") as cluster:
        assert asyncio.run(_one(cluster.url, "SELECT 1")) == 1


def test_folder_below_roots_own_is_linked_to_where_postgres_gets_in(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root's folders are closed to the server's account")
    tmp_path.parent.chmod(0o700)
    with Cluster.open(tmp_path / "cop") as cluster:
        assert (tmp_path / "cop" / "postgres").resolve() == cluster.home
        assert cluster.home.is_relative_to("/var/lib/cop")
    again = Cluster(tmp_path / "cop")
    assert again.home == cluster.home
    subprocess.run(["rm", "-r", str(cluster.home)], check=True)


# --- several at once


def test_second_opener_joins_and_last_one_out_stops(open_folder: Path) -> None:
    with Cluster.open(open_folder / "cop") as first:
        pid = _pid(first)
        with _holder(open_folder / "cop") as second:
            assert int(_line(second)) == pid
        assert _pid(first) == pid
    assert first.postmaster() is None


def test_first_opener_leaves_the_server_to_the_second(open_folder: Path) -> None:
    with ExitStack() as first, _holder(open_folder / "cop") as second:
        cluster = first.enter_context(Cluster.open(open_folder / "cop"))
        pid = int(_line(second))
        first.close()
        assert _pid(cluster) == pid
    assert cluster.postmaster() is None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_service_that_is_told_to_end_takes_its_server_with_it(open_folder: Path, how: signal.Signals) -> None:
    with _holder(open_folder / "cop") as service:
        _line(service)
        service.send_signal(how)
        service.wait(30)
    assert Cluster(open_folder / "cop").postmaster() is None


def test_server_started_by_hand_is_left_running(open_folder: Path) -> None:
    cluster = Cluster(open_folder / "cop")
    cluster.start()
    (cluster.home / "started").unlink()
    with Cluster.open(open_folder / "cop"):
        pass
    assert cluster.postmaster() is not None
    cluster.stop()


def test_three_starting_at_once_share_one_server(open_folder: Path) -> None:
    with (
        _holder(open_folder / "cop") as a,
        _holder(open_folder / "cop") as b,
        _holder(open_folder / "cop") as c,
    ):
        assert len({_line(holder) for holder in (a, b, c)}) == 1


# --- kill -9


def test_acknowledged_rows_survive_kill_9_of_postgres(open_folder: Path) -> None:
    with Cluster.open(open_folder / "cop") as cluster:
        cluster.execute("CREATE TABLE push (n int PRIMARY KEY)", "cop")
        acknowledged = asyncio.run(_insert_until_cut(cluster.url, lambda: _kill_server(cluster)))
        _wait_until(lambda: (now := cluster.postmaster()) is not None and now.status == "ready")
        stored = int(cluster.execute("SELECT count(*) FROM push", "cop"))
    assert acknowledged >= 50
    assert stored in (acknowledged, acknowledged + 1)


def test_backend_that_outlives_its_postmaster_does_not_hold_up_recovery(open_folder: Path) -> None:
    with Cluster.open(open_folder / "cop") as cluster:
        asked = [cluster.programs["psql"], "-XqAt", cluster.url, "-c", "SELECT 'begun'", "-c", BUSY]
        with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as busy:
            assert _line(busy) == "begun\n"
            _kill_server(cluster)
            busy.wait(30)
        _wait_until(lambda: (now := cluster.postmaster()) is not None and now.status == "ready")


def test_server_that_dies_is_started_again_while_in_use(open_folder: Path) -> None:
    with Cluster.open(open_folder / "cop") as cluster:
        before = _pid(cluster)
        _kill_server(cluster)
        _wait_until(lambda: (now := cluster.postmaster()) is not None and now.pid != before)


def test_killed_service_leaves_a_server_that_the_next_one_joins_and_stops(open_folder: Path) -> None:
    with _holder(open_folder / "cop") as killed:
        pid = int(_line(killed))
        killed.kill()
        killed.wait()
        with Cluster.open(open_folder / "cop") as cluster:
            assert _pid(cluster) == pid
        assert cluster.postmaster() is None


def test_service_and_server_killed_together_recover(open_folder: Path) -> None:
    with _holder(open_folder / "cop") as service:
        pid = int(_line(service))
        os.kill(pid, signal.SIGKILL)
        service.kill()
        service.wait()
        with Cluster.open(open_folder / "cop") as cluster:
            assert cluster.execute("SELECT 1", "cop") == "1"


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A living process of the server's account that has nothing to do with any cluster."""
    with subprocess.Popen(["sleep", "60"], **server_account().popen) as process:
        yield process
        process.kill()


def test_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(
    open_folder: Path, stranger: subprocess.Popen[bytes]
) -> None:
    with Cluster.open(open_folder / "cop") as cluster:
        pid_file, lock = cluster.data / "postmaster.pid", cluster.sockets / f"{SOCKET_NAME}.lock"
        old, old_lock = pid_file.read_text(), lock.read_text()
        pid = _pid(cluster)
    for path, text in ((pid_file, old), (lock, old_lock)):
        path.write_text(text.replace(str(pid), str(stranger.pid)))
    with Cluster.open(open_folder / "cop") as cluster:
        assert cluster.execute("SELECT 1") == "1"
    assert stranger.poll() is None


def test_half_made_data_directory_is_made_anew(open_folder: Path) -> None:
    making = open_folder / "cop" / "postgres" / "data.making-1-1"
    making.mkdir(parents=True)
    (making / "PG_VERSION").write_text("15\n")
    os.chown(making.parent, server_account().uid, -1)
    making.parent.parent.chmod(0o711)
    with Cluster.open(open_folder / "cop") as cluster:
        assert cluster.execute("SELECT 1", "cop") == "1"
    assert not making.exists()


def test_killed_while_making_the_data_directory_starts_well_next_time(open_folder: Path) -> None:
    with _holder(open_folder / "cop") as service:
        _wait_until(lambda: any((open_folder / "cop" / "postgres").glob("data.making-*/PG_VERSION")))
        service.kill()
        service.wait()
    with Cluster.open(open_folder / "cop") as cluster:
        assert cluster.execute("SELECT 1", "cop") == "1"


def test_stale_socket_is_no_obstacle(open_folder: Path) -> None:
    with Cluster.open(open_folder / "cop") as cluster:
        pass
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(cluster.sockets / SOCKET_NAME))
    with Cluster.open(open_folder / "cop") as cluster:
        assert cluster.execute("SELECT 1") == "1"


# --- helpers


def _server(folder: str, major: int) -> Programs:
    return Programs(Path(folder), major, postgis=True)


def _pid(cluster: Cluster) -> int:
    running = cluster.postmaster()
    assert running is not None
    return running.pid


def _kill_server(cluster: Cluster) -> None:
    os.kill(_pid(cluster), signal.SIGKILL)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.005)


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Act as nobody where the test runs as root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


# A loop that never looks whether its postmaster lives.
BUSY = "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$"

HOLD = """
import sys
from pathlib import Path
from cop.embedded.cluster import Cluster
with Cluster.open(Path(sys.argv[1])) as cluster:
    print(cluster.postmaster().pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def _holder(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the cluster open, until its standard input closes."""
    command = [sys.executable, "-c", HOLD, str(data_dir)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


async def _one(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def _insert_until_cut(url: str, cut: Callable[[], None]) -> int:
    """Insert one row a transaction; *cut* the server after 50. Returns how many were acknowledged."""
    connection = await asyncpg.connect(url)
    acknowledged = 0
    try:
        while True:
            await connection.execute("INSERT INTO push VALUES ($1)", acknowledged)
            acknowledged += 1
            if acknowledged == 50:
                cut()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        return acknowledged
    finally:
        connection.terminate()
