"""The two servers that every transport is tried against: a real nginx and a rude one; and both event loops."""

from collections.abc import Iterator

import pytest

from tests.support.aio import LOOPS
from tests.support.nginx import Nginx
from tests.support.rude import Rude

LOCATIONS = """
    location = /ok { default_type application/json; return 200 '{"status":"completed"}'; }
    location = /created { return 201 'made'; }
    location = /empty { return 204; }
    location = /redirect { return 302 /ok; }
    location = /busy { add_header Retry-After 7 always; return 503 'later'; }
    location = /refused { return 403 'no'; }
    location = /hang-up { return 444; }
    location = /closes { keepalive_timeout 0; return 200 'bye'; }
    location = /seen {
      return 200 '$request_method|$host|$http_accept_encoding|$content_type|$content_length|$http_x_extra|$request_uri';
    }
    location = /agent { return 200 '$http_user_agent'; }
    location = /connection { return 200 '$connection'; }
    location = /small-only { client_max_body_size 1k; proxy_pass http://127.0.0.1:$server_port/ok; }
    location /chunked/ { ssi on; ssi_types *; rewrite ^/chunked/(.*)$ /$1 break; }
    location /slow/ { limit_rate 20k; rewrite ^/slow/(.*)$ /$1 break; }
"""


@pytest.fixture(params=sorted(LOOPS))
def loop(request: pytest.FixtureRequest) -> str:
    """The name of an event loop; a test with it runs on each."""
    name: str = request.param
    return name


@pytest.fixture
def rude() -> Iterator[Rude]:
    server = Rude()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    server = Nginx(tmp_path_factory.mktemp("nginx"), LOCATIONS)
    yield server
    server.stop()
