"""A PostgreSQL server of our own: a new cluster on a free port, with fsync as in production, ended with the tests."""

import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.support.nodes import free_port

PATIENCE_S = 60.0
# Debian keeps the server's programs out of the way, by version.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)


@functools.cache
def program(name: str) -> str:
    """Where a program of PostgreSQL is. Fails when it is nowhere: the tests do not pass without it."""
    found = shutil.which(name, path=os.pathsep.join([*map(str, FOLDERS), os.environ["PATH"], "/usr/sbin"]))
    assert found is not None, f"there is no {name}; on Debian: apt-get install postgresql pgbouncer"
    return found


def as_nobody(*command: str) -> list[str]:
    """A command run by somebody who is not root, which these servers refuse, and ended when this process ends."""
    ended = [program("setpriv"), "--pdeathsig", "KILL"]
    if os.geteuid() != 0:
        return [*ended, *command]
    nobody = pwd.getpwnam("nobody")
    return [*ended, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *command]


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of the one who runs the servers. Its path is short, since a socket's name must fit into 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="taskyard-pg-"))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PortTaken(Exception):
    """Somebody listens on the port already."""


class Cluster:
    """A server with a cluster of its own in a folder."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._settings = settings
        self._log = folder.with_name(folder.name + ".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def make(self) -> None:
        """Make the cluster."""
        self._run(
            "initdb", "-D", str(self.data), "-U", "taskyard", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"
        )

    def copy(self, primary: "Cluster") -> None:
        """Make the cluster as a standby that follows another server's stream."""
        source = f"host=127.0.0.1 port={primary.port} user=taskyard application_name=standby"
        self._run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast")

    def promote(self) -> None:
        """Let a standby take the primary's place."""
        self.execute("SELECT pg_promote()")

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            as_nobody(program(name), *arguments), cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def start_anywhere(self) -> None:
        """Start the server, on another port when somebody was faster."""
        for _ in range(5):
            try:
                self.start()
                return
            except PortTaken:
                self.port = free_port()
        raise AssertionError("no port is free for long")

    def start(self) -> None:
        """Start the server and wait until it takes connections. Raises `PortTaken`."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                as_nobody(
                    program("postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder),
                    "-c", "listen_addresses=127.0.0.1", *(part for name in self._settings for part in ("-c", name)),
                ),
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=10).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    said = self._log.read_text()[-2000:]
                    raise PortTaken if "Address already in use" in said else AssertionError(said) from None
                assert time.monotonic() < end, "the server did not start in time"
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT breaks all connections off in order, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def said(self, words: str) -> int:
        """How often there is something in its log."""
        return self._log.read_text(errors="replace").count(words)

    def crash(self) -> None:
        """End it as a power loss would, but for what the system still writes out."""
        self.stop(signal.SIGQUIT)

    def freeze(self) -> None:
        """Stop every process of the server, as a stalled disk would."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, how: signal.Signals) -> None:
        for pid in self._pids():
            os.kill(pid, how)

    def _pids(self) -> list[int]:
        assert self._process is not None
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *map(int, children)]

    def cpu_seconds(self) -> float:
        """The CPU time of all processes of the server that run, and of those that have ended."""
        ticks = 0
        for number, pid in enumerate(self._pids()):
            with suppress(OSError):  # it has just ended
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11 : 15 if number == 0 else 13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://taskyard@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the one who owns the cluster; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def database(self) -> str:
        """A new database: its name."""
        name = f"yard{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def remove(self) -> None:
        """End the server, if it runs, and remove its log."""
        if self._process is not None:
            self.stop(signal.SIGQUIT)
        self._log.unlink(missing_ok=True)


@contextmanager
def cluster(*settings: str) -> Iterator[Cluster]:
    """A running server; `settings` are lines of its configuration."""
    with private_folder() as folder:
        server = Cluster(folder, *settings)
        try:
            server.make()
            server.start_anywhere()
            yield server
        finally:
            server.remove()


# What a store keeps, days aside: emptied, the database is as good as new, and that is much faster than to make one.
_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN
        SELECT relname FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relispartition = false
            AND relname NOT IN ('yard', 'day', 'lease', 'lease_beat', 'stats_rolled')
    LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    DELETE FROM task; DELETE FROM ended; DELETE FROM payload; DELETE FROM result; DELETE FROM task_tag;
    DELETE FROM attempt;
END $$
"""


def empty(url: str) -> None:
    """Remove all that a store keeps."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_EMPTY)
