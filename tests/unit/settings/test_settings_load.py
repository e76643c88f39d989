"""Where a value comes from, which source wins, and what a wrong one is told."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from taskyard.host.transport.address import AddressPolicy
from taskyard.settings import RetryBackoff, Secret, Settings, SettingsError, Source, TypeDefaults, load
from taskyard.settings.fields import fields

KEY = "k" * 32


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "taskyard.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(says: str, tmp_path: Path, environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(flags, environ or {}, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert says in message
    return message


def test_defaults_are_the_contract(tmp_path: Path) -> None:
    settings = load({}, {}, tmp_path)
    assert settings == Settings()
    assert (settings.host, settings.port, settings.body_max_bytes, settings.result_max_bytes) == (
        "127.0.0.1",
        8787,
        1_048_576,
        8_388_608,
    )
    assert (settings.task_timeout, settings.sync_wait_max, settings.retention) == (3_600_000, 300_000, 604_800_000)
    assert {source.layer for source in settings.sources().values()} == {"default"}


@pytest.mark.parametrize("name", list(fields()))
def test_every_default_may_be_written_out(name: str) -> None:
    field = fields()[name]
    written = field.show(field.default)
    assert not written or field.read(written) == field.default


def test_order_of_sources(tmp_path: Path, write: Callable[[str], Path]) -> None:
    path = write("port = 1\nmax_retries = 1\nmax_lost = 1\n")
    settings = load({"port": 3, "host": None}, {"TASKYARD_PORT": "2", "MAX_RETRIES": "2"}, tmp_path)
    assert (settings.port, settings.max_retries, settings.max_lost, settings.host) == (3, 2, 1, "127.0.0.1")
    sources = settings.sources()
    assert sources["port"] == Source("flag", "--port")
    assert sources["max_retries"] == Source("environment", "MAX_RETRIES")
    assert sources["max_lost"] == Source("file", f"{path}:max_lost")
    assert sources["host"] == Source("default")


def test_the_file_is_named_or_found(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "taskyard.toml").write_text("port = 1")
    environ = {"TASKYARD_DATA_DIR": "data"}
    assert load({}, {}, tmp_path).port == 8787
    assert load({}, environ, tmp_path).port == 1
    (tmp_path / "taskyard.toml").write_text("port = 2")
    assert load({}, environ, tmp_path).port == 2
    (tmp_path / "named.toml").write_text("port = 3")
    assert load({}, {**environ, "TASKYARD_CONFIG": "named.toml"}, tmp_path).port == 3
    (tmp_path / "flag.toml").write_text("port = 4")
    assert load({"config": "flag.toml"}, {**environ, "TASKYARD_CONFIG": "named.toml"}, tmp_path).port == 4


def test_a_named_file_must_exist_and_be_toml(tmp_path: Path, write: Callable[[str], Path]) -> None:
    refused("cannot be read: No such file", tmp_path, config="none.toml")
    refused("cannot be read: Is a directory", tmp_path, config=".")
    write("port = \n")
    refused("is not TOML", tmp_path)
    (tmp_path / "taskyard.toml").write_bytes(b"host = '\xff'")
    refused("is not UTF-8", tmp_path)


@pytest.mark.parametrize("variable", ["PUBLIC_URL", "WORKER_URL", "TASKYARD_PUBLIC_URL", "TASKYARD_WORKER_URL"])
def test_names_of_the_public_url(tmp_path: Path, variable: str) -> None:
    assert load({}, {variable: "https://yard.example.org/"}, tmp_path).public_url == "https://yard.example.org"


def test_prefixed_name_wins_and_empty_is_not_set(tmp_path: Path) -> None:
    assert load({}, {"MAX_LOST": "1", "TASKYARD_MAX_LOST": "2"}, tmp_path).max_lost == 2
    settings = load({}, {"MAX_LOST": "1", "TASKYARD_MAX_LOST": " ", "JWT_SECRET": ""}, tmp_path)
    assert (settings.max_lost, settings.jwt_secret) == (1, ())


def test_general_names_need_the_prefix(tmp_path: Path) -> None:
    environ = {"HOST": "0.0.0.0", "PORT": "1", "DATABASE": "x", "DATA_DIR": "/", "SECRET_KEY": KEY, "LOG_LEVEL": "x"}
    assert load({}, environ, tmp_path) == Settings()


BARE = (
    "JWT_SECRET SERVICE_JWT_SECRET PUBLIC_URL WORKER_URL CORS_ORIGINS BODY_MAX_BYTES RESULT_MAX_BYTES MEMORY_BUDGET "
    "TASK_TIMEOUT SYNC_WAIT_MAX MAX_RETRIES MAX_LOST MAX_QUEUED MAX_QUEUED_PER_SUB MAX_LANES RETRY_BUDGET RETENTION "
    "LINGER CHECK_TIMEOUT OFFLINE_GRACE SERVER_STALE_THRESHOLD SERVER_CLEANUP_INTERVAL ENDPOINT_ALLOW TRUSTED_PROXIES"
)


def test_names_of_the_contract_are_read_without_prefix() -> None:
    names = [name for field in fields().values() for name in field.environment]
    assert {name for name in names if not name.startswith("TASKYARD_")} == set(BARE.split())
    assert set(names) >= {f"TASKYARD_{name}" for name in BARE.split()}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1500", 1500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("7d", 604_800_000),
        ("1h30m", 5_400_000),
        ("1.5 s", 1500),
        ("250MS", 250),
    ],
)
def test_durations(tmp_path: Path, written: str, value: int) -> None:
    assert load({}, {"TASK_TIMEOUT": written}, tmp_path).task_timeout == value


@pytest.mark.parametrize(
    ("written", "value"), [("2048", 2048), ("1MiB", 1 << 20), ("256 KiB", 1 << 18), ("2kB", 2000), ("2000b", 2000)]
)
def test_sizes(tmp_path: Path, written: str, value: int) -> None:
    assert load({}, {"BODY_MAX_BYTES": written}, tmp_path).body_max_bytes == value


@pytest.mark.parametrize(
    ("variable", "raw", "says"),
    [
        ("TASK_TIMEOUT", "soon", "task_timeout (from environment TASK_TIMEOUT): 'soon' is not a duration"),
        ("TASK_TIMEOUT", "1 fortnight", "is not a duration"),
        ("TASK_TIMEOUT", "-1s", "is not a duration"),
        ("TASK_TIMEOUT", "0", "is too small; allowed: a duration"),
        ("TASK_TIMEOUT", "4000d", "is too large"),
        ("TASK_TIMEOUT", "9" * 400 + "d", "is too large"),
        ("BODY_MAX_BYTES", "1M", "is not a size"),
        ("BODY_MAX_BYTES", "1", "is too small"),
        ("MAX_RETRIES", "101", "allowed: a whole number, from 0 to 100, e.g. 3"),
        ("MAX_RETRIES", "1.5", "is not a whole number"),
        ("MAX_RETRIES", "٣", "is not a whole number"),
        ("RETRY_BUDGET", "nan", "is too small"),
        ("RETRY_BUDGET", "much", "is not a number"),
        ("TASKYARD_PORT", "65536", "is too large"),
        ("TASKYARD_HOST", "a b", "is not a host name"),
        ("TASKYARD_DEV", "perhaps", "is neither true nor false"),
        ("TASKYARD_LOG_LEVEL", "loud", "allowed: one of debug, info, warning, error, e.g. info"),
        ("PUBLIC_URL", "yard.example.org", "is not an http:// or https:// URL"),
        ("PUBLIC_URL", "http://", "is not an http:// or https:// URL"),
        ("PUBLIC_URL", "http://a:99999", "is not an http:// or https:// URL"),
        ("PUBLIC_URL", "http://u:p@a", "has a user"),
        ("PUBLIC_URL", "http://a?x=1", "has a user, a query"),
        ("CORS_ORIGINS", "*", "has * in it"),
        ("CORS_ORIGINS", "https://a.example.org/app", "with a path"),
        ("TRUSTED_PROXIES", "proxy", "is not a list of IP addresses"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "is not a list of IP addresses"),
        ("TASKYARD_DATABASE", "mysql://u:hunter2@h", "is not a postgresql:// URL"),
        ("JWT_SECRET", "short-hunter2", "has only 13 bytes"),
        ("JWT_SECRET", f"{KEY},hunter2", "number 2 one that has only 7 bytes"),
        ("JWT_SECRET", f"{KEY},{KEY}", "has the same secret twice"),
        ("JWT_SECRET", "-----BEGIN PRIVATE KEY-----hunter2", "not a shared secret"),
    ],
)
def test_wrong_values(tmp_path: Path, variable: str, raw: str, says: str) -> None:
    message = refused(says, tmp_path, {variable: raw})
    assert variable in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task_timout = 1", "task_timout is no setting, did you mean task_timeout?"),
        ("TASK_TIMEOUT = 1", "TASK_TIMEOUT is no setting, did you mean task_timeout?"),
        ("zzz = 1", "zzz is no setting; docs/configuration.md"),
        ("origins = {}", "origins is no setting"),
        ("[server]\nport = 1", "server is no setting"),
        ("max_retries = true", "taskyard.toml:max_retries): True is not a whole number"),
        ("max_retries = inf", "is not a whole number"),
        ("host = 1", "1 is not a text"),
        ("host = 'a\\u001b'", "is not a host name"),
        ("dev = 1", "1 is neither true nor false"),
        ("retry_budget = true", "is not a number"),
        ("cors_origins = [1]", "is not a text"),
        ("jwt_secret = 7", "is not a list of secrets"),
        ("types = 1", "types is not a table"),
        ("[types]\nocr = 1", "types.ocr is not a table"),
        ("[types.ocr]\ntimout = 1", "types.ocr.timout is no setting, did you mean timeout?"),
        ("[types.ocr]\ntimeout = '0s'", "taskyard.toml:types.ocr.timeout): '0s' is too small"),
        ("[types.ocr]\nretry_backoff = {base = 1}", "needs both"),
        ("[types.ocr]\nretry_backoff = {base = 2, cap = 1}", "base above its cap"),
        ("[types.ocr]\nretry_backoff = {base = 2, cup = 1}", "types.ocr.retry_backoff.cup is no setting"),
        (f"[types.{'x' * 129}]", "is not a task type"),
        ("retry_base = 2\nretry_cap = 1", "retry_base (from file"),
        ("result_max_bytes = '300MiB'", "raise memory_budget"),
        (f"jwt_secret = ['{KEY}']\nservice_jwt_secret = ['{KEY}']", "shares a secret"),
        ("database = 'postgresql://h/d'", "taskyard.toml:database) needs secret_key"),
    ],
)
def test_wrong_files(tmp_path: Path, write: Callable[[str], Path], text: str, says: str) -> None:
    write(text)
    refused(says, tmp_path)


def test_a_wrong_value_is_refused_even_where_a_stronger_source_has_it(tmp_path: Path, write: Callable) -> None:
    write("port = 'x'")
    refused("taskyard.toml:port)", tmp_path, port=1)
    refused("TASKYARD_PORT", tmp_path, {"TASKYARD_PORT": "x"}, port=1)


def test_a_flag_is_named(tmp_path: Path) -> None:
    refused("port (from flag --port): 70000 is too large", tmp_path, port=70000)


def test_unknown_variables(tmp_path: Path) -> None:
    refused(
        "environment TASKYARD_TASK_TIMOUT is no setting, did you mean TASKYARD_TASK_TIMEOUT?",
        tmp_path,
        {"TASKYARD_TASK_TIMOUT": "1"},
    )
    others = {"TASKYARD_URL": "http://h", "TASKYARD_TOKEN": "t", "TASKYARD_PROFILE": "p", "OTHER_TASK_TIMOUT": "1"}
    assert load({}, others, tmp_path) == Settings()


def test_service_links_of_kubernetes_are_no_settings(tmp_path: Path) -> None:
    links = {
        "TASKYARD_SERVICE_HOST": "10.0.0.1",
        "TASKYARD_SERVICE_PORT": "8787",
        "TASKYARD_SERVICE_PORT_HTTP": "8787",
        "TASKYARD_PORT": "tcp://10.0.0.1:8787",
        "TASKYARD_PORT_8787_TCP": "tcp://10.0.0.1:8787",
        "TASKYARD_PORT_8787_TCP_ADDR": "10.0.0.1",
        "TASKYARD_BACKEND_PORT": "tcp://10.0.0.1:8787",
        "TASKYARD_BACKEND_SERVICE_HOST": "10.0.0.1",
    }
    assert load({}, links, tmp_path) == Settings()


def test_types(tmp_path: Path, write: Callable[[str], Path]) -> None:
    path = write(
        "[types.ocr]\npriority = 7\ncapabilities = ['gpu', 'ocr']\ngroup = 'eu'\ntimeout = '2m'\nttl = '1h'\n"
        "queue_timeout = '30s'\nheartbeat_timeout = 500\nmax_retries = 0\nretry_backoff = {base = '1s', cap = '2s'}\n"
        "[types.'chat completion']\n"
    )
    settings = load({}, {}, tmp_path)
    assert settings.types == {
        "ocr": TypeDefaults(
            priority=7,
            capabilities=("gpu", "ocr"),
            group="eu",
            timeout=120_000,
            ttl=3_600_000,
            queue_timeout=30_000,
            heartbeat_timeout=500,
            max_retries=0,
            retry_backoff=RetryBackoff(base=1000, cap=2000),
        ),
        "chat completion": TypeDefaults(),
    }
    assert settings.sources()["types.ocr"] == Source("file", f"{path}:types.ocr")


def test_lists(tmp_path: Path, write: Callable[[str], Path]) -> None:
    write(f"cors_origins = ['https://a', 'http://b:1']\njwt_secret = ['{KEY},with-a-comma']")
    environ = {"TRUSTED_PROXIES": "10.1.2.3/8, ::1", "SERVICE_JWT_SECRET": f"{'a' * 32}, {'b' * 32}"}
    settings = load({}, environ, tmp_path)
    assert settings.cors_origins == ("https://a", "http://b:1")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert [secret.reveal() for secret in settings.jwt_secret] == [f"{KEY},with-a-comma"]
    assert [secret.reveal() for secret in settings.service_jwt_secret] == ["a" * 32, "b" * 32]


@pytest.mark.parametrize(
    ("raw", "places"),
    [
        ("10.1.2.3/8, fd00::1", ("10.0.0.0/8", "fd00::1/128")),
        ("GPU-1.internal, .fleet.example, *.x", ("gpu-1.internal", ".fleet.example", "*.x")),
        ("localhost, gpu1", ("localhost", "gpu1")),
    ],
)
def test_where_servers_may_be(tmp_path: Path, raw: str, places: tuple[str, ...]) -> None:
    settings = load({}, {"ENDPOINT_ALLOW": raw, "JWT_SECRET": KEY}, tmp_path)
    assert settings.endpoint_allow == places
    AddressPolicy(allow=settings.endpoint_allow)


@pytest.mark.parametrize(
    "raw",
    [
        "10.0.0.0/33",
        "10.0.0",
        "127.1",
        "0x7f000001",
        "http://gpu1",
        "gpu1:8000",
        "*",
        ".",
        "a..b",
        "-a",
        "*.*.x",
        "a b",
    ],
)
def test_no_place_for_servers(tmp_path: Path, raw: str) -> None:
    refused("is not a list of networks and host names", tmp_path, {"ENDPOINT_ALLOW": raw, "JWT_SECRET": KEY})


def test_secrets_never_show(tmp_path: Path) -> None:
    environ = {
        "JWT_SECRET": "hunter2" * 8,
        "TASKYARD_SECRET_KEY": "hunter2" * 7,
    }
    settings = msgspec.structs.replace(load({}, environ, tmp_path), database=Secret("postgresql://u:hunter2@h/d"))
    assert settings.database is not None
    assert settings.database.reveal() == "postgresql://u:hunter2@h/d"
    for shown in (repr(settings), str(settings.shown()), f"{settings.database}", f"{settings.database:>9}"):
        assert "hunter2" not in shown
        assert "***" in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_public_base_and_data_path(tmp_path: Path) -> None:
    assert Settings().public_base() == "http://127.0.0.1:8787"
    assert Settings(port=0).public_base(4321) == "http://127.0.0.1:4321"
    assert Settings(public_url="https://a").public_base(1) == "https://a"
    assert Settings(data_dir="~/yard").data_path == Path(os.path.expanduser("~/yard"))
