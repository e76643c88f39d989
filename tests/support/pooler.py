"""A PgBouncer of our own in front of a server: transaction mode, few connections, nothing that a session could keep."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.nodes import free_port, until
from tests.support.postgres import Cluster, as_nobody, private_folder, program

PATIENCE_S = 60.0
# Two connections to the server for all that come: whoever kept something in a session would find another's.
SETTINGS = """
[databases]
* = user=taskyard host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
server_reset_query_always = 1
server_reset_query = DISCARD ALL
server_login_retry = 1
logfile = {folder}/log
"""


@contextmanager
def pooler(server: Cluster) -> Iterator[int]:
    """A running pooler's port; a database has the same name there."""
    port = free_port()
    with private_folder() as folder:
        file = folder / "pgbouncer.ini"
        file.write_text(SETTINGS.format(server=server.port, port=port, folder=folder))
        process = subprocess.Popen(
            as_nobody(program("pgbouncer"), "-q", str(file)), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: process.poll() is None and _listens(port), PATIENCE_S, "the pooler does not listen")
            yield port
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
