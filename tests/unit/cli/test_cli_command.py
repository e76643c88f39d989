"""The command line as a process or in one: exit codes, messages, flags, imports. (It calls no node here.)"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from typer.main import get_command

from taskyard.cli import main as cli
from taskyard.cli.serve import first_steps
from taskyard.settings import Secret, Settings
from taskyard.settings.fields import fields
from taskyard.tokens import Verifier

KEY, SERVICE = "k" * 32, "s" * 32


class Ran:
    """One run of the command: its exit code and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator:
    """Runs `taskyard <words>` in this process, in an empty folder, with only the given environment."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **environ: str) -> Ran:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in {"HOME": str(tmp_path), "COLUMNS": "200", **environ}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["taskyard", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        told = capsys.readouterr()
        return Ran(int(caught.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def closed() -> Iterator[str]:
    """The URL of a port that is bound, so that no other process takes it, and does not listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def test_start_is_light() -> None:
    heavy = ("httpx", "rich", "jwt", "msgspec", "ssl", "taskyard.client", "taskyard.settings", "taskyard.api")
    script = f"import sys, taskyard.cli.main; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_installed_command_runs() -> None:
    command = Path(sys.executable).with_name("taskyard")
    assert subprocess.check_output([command, "--version"], text=True).startswith("taskyard ")


def test_shell_completion(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("taskyard")
    environ = {**os.environ, "_TASKYARD_COMPLETE": "complete_bash", "COMP_WORDS": "taskyard ta", "COMP_CWORD": "1"}
    found = subprocess.run([command], env=environ, text=True, capture_output=True, cwd=tmp_path, check=False)
    assert found.stdout.split() == ["tasks"]


def test_commands() -> None:
    root = get_command(cli.app)
    assert {"serve", "token", "servers", "tasks", "stats", "lanes", "top", "algorithm"} <= set(root.commands)
    assert set(root.commands["tasks"].commands) == {
        "list",
        "show",
        "why",
        "submit",
        "retry",
        "cancel",
        "purge",
        "wait",
        "watch",
    }
    assert set(root.commands["servers"].commands) == {"list", "show", "add", "rm", "drain", "maintenance", "check"}


def test_every_command_has_help_and_the_shared_options() -> None:
    root = get_command(cli.app)
    called = [*root.commands["tasks"].commands.values(), *root.commands["servers"].commands.values()]
    for command in (*called, root.commands["stats"], root.commands["algorithm"]):
        assert command.help
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--url", "--token", "--profile", "--json"} <= options


def test_flags_of_serve_are_those_of_the_settings() -> None:
    options = {option for parameter in get_command(cli.app).commands["serve"].params for option in parameter.opts}
    flags = {field.flag for field in fields().values() if field.flag}
    assert options == flags | {"--config"}


# token


def test_token_is_signed_by_the_secret_of_the_node(run, tmp_path: Path) -> None:
    ran = run("token", "--role", "admin", "--role", "user", "--subject", "ann", JWT_SECRET=f"{KEY},{'o' * 32}")
    assert ran.code == 0
    claims = jwt.decode(ran.out.strip(), KEY, algorithms=["HS256"])
    assert (claims["sub"], claims["roles"]) == ("ann", ["admin", "user"])
    assert claims["exp"] - claims["iat"] in (86_400, 86_401)
    (tmp_path / "taskyard.toml").write_text(f'jwt_secret = "{"f" * 32}"')
    ran = run("token", "--role", "user", "--lifetime", "2h", "--json")
    told = json.loads(ran.out)
    claims = jwt.decode(told["token"], "f" * 32, algorithms=["HS256"])
    assert (told["sub"], told["roles"], claims["exp"] - claims["iat"] in (7200, 7201)) == ("cli", ["user"], True)


def test_service_tokens_are_signed_by_the_service_secret(run) -> None:
    verifier = Verifier([KEY], [SERVICE], lambda: 0.0)
    only_jwt, only_service = Verifier([KEY], [], lambda: 0.0), Verifier([SERVICE], [], lambda: 0.0)
    both = {"JWT_SECRET": KEY, "SERVICE_JWT_SECRET": SERVICE}
    token = run("token", "--role", "service", **both).out.strip()
    assert only_service.verify(token).roles == verifier.verify(token).roles == {"service"}
    token = run("token", "--role", "service", "--role", "admin", **both).out.strip()
    assert only_jwt.verify(token).roles == {"service", "admin"}
    token = run("token", "--role", "service", JWT_SECRET=KEY).out.strip()
    assert only_jwt.verify(token).roles == {"service"}


def test_token_from_the_secret_kept_by_dev(run, tmp_path: Path) -> None:
    kept = tmp_path / "yard" / "jwt_secret"
    kept.parent.mkdir()
    kept.write_text("d" * 64)
    kept.chmod(0o600)
    ran = run("token", "--role", "user", "--data-dir", "yard")
    assert jwt.decode(ran.out.strip(), "d" * 64, algorithms=["HS256"])["roles"] == ["user"]
    kept.chmod(0o644)
    ran = run("token", "--role", "user", "--data-dir", "yard")
    assert (ran.code, ran.out) == (2, "")
    assert "chmod 600" in ran.err


@pytest.mark.parametrize(
    ("words", "environ", "says"),
    [
        (("--role", "user"), {}, "set JWT_SECRET as the node has it"),
        (("--role", "root"), {"JWT_SECRET": KEY}, "admin, service, user"),
        (("--role", "user", "--lifetime", "0"), {"JWT_SECRET": KEY}, "more than 0"),
        (("--role", "user", "--lifetime", "soon"), {"JWT_SECRET": KEY}, "is not a duration"),
        (("--role", "user"), {"JWT_SECRET": "short"}, "has only 5 bytes"),
        ((), {"JWT_SECRET": KEY}, "--role"),
    ],
)
def test_token_refused(run, words: tuple[str, ...], environ: dict[str, str], says: str) -> None:
    ran = run("token", *words, **environ)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "Traceback" not in ran.err


# serve


@pytest.mark.parametrize(
    ("words", "environ", "says"),
    [
        ((), {}, "JWT_SECRET is not set"),
        ((), {"JWT_SECRET": "short"}, "jwt_secret (from environment JWT_SECRET) is a secret that has only 5 bytes"),
        (("--dev", "--port", "70000"), {}, "port (from flag --port): 70000 is too large"),
        (("--dev",), {"TASKYARD_TASK_TIMOUT": "1"}, "did you mean TASKYARD_TASK_TIMEOUT?"),
        (("--dev", "--config", "none.toml"), {}, "none.toml cannot be read"),
        (("--database", "postgresql://u:p@h/d"), {}, "database (from flag --database) needs secret_key"),
        (("--dev", "--log-level", "loud"), {}, "log_level (from flag --log-level): 'loud' is not one of them"),
    ],
)
def test_serve_refuses_to_start_in_one_line(run, words: tuple[str, ...], environ: dict[str, str], says: str) -> None:
    ran = run("serve", *words, **environ)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("taskyard: ")
    assert says in ran.err


def dev_node(folder: Path, port: int) -> subprocess.Popen[str]:
    """`taskyard serve --dev`, its data in `folder`."""
    command = [Path(sys.executable).with_name("taskyard"), "serve", "--dev", "--port", str(port)]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TASKYARD_", "JWT_"))}
    return subprocess.Popen(command, cwd=folder, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_dev_prints_the_address_once_it_listens_there(tmp_path: Path) -> None:
    with dev_node(tmp_path, 0) as node:
        try:
            assert node.stdout is not None
            url = next(line.partition("=")[2].strip() for line in node.stdout if "export TASKYARD_URL=" in line)
            host, _, port = url.removeprefix("http://").partition(":")
            socket.create_connection((host, int(port)), 10).close()
        finally:
            node.terminate()
            node.communicate(timeout=20)


def test_dev_prints_no_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, dev_node(tmp_path, taken.getsockname()[1]) as node:
        told, said = node.communicate(timeout=20)
    assert (node.returncode, told) == (2, "")
    assert "is in use" in said


def test_first_steps_hold_a_token_that_verifies() -> None:
    told = first_steps(Settings(dev=True, port=9000, jwt_secret=(Secret(KEY),)), 0)
    token = next(line.partition("=")[2] for line in told.splitlines() if "export TASKYARD_TOKEN=" in line)
    assert Verifier([KEY], [], lambda: 0.0).verify(token).roles == {"admin"}
    assert "curl -s http://127.0.0.1:9000/api/task " in told
    assert KEY not in told


# Calls


def test_no_token(run) -> None:
    ran = run("tasks", "list")
    assert (ran.code, ran.out) == (2, "")
    assert "taskyard token --role admin" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("tasks", "list"),
        ("tasks", "show", "task_1"),
        ("tasks", "submit", "ocr"),
        ("tasks", "wait", "task_1"),
        ("tasks", "cancel", "task_1", "task_2"),
        ("tasks", "purge", "task_1"),
        ("servers", "drain", "a"),
        ("servers", "list"),
        ("servers", "add", "a", "--predict", "http://p", "--health", "http://h"),
        ("servers", "maintenance", "a", "on"),
        ("stats",),
        ("algorithm", "random"),
    ],
)
def test_nothing_listens(run, closed: str, words: tuple[str, ...]) -> None:
    ran = run(*words, TASKYARD_URL=closed, TASKYARD_TOKEN="t")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"taskyard: no answer from {closed}: Connection refused; is the node running")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("tasks", "show"),
        ("tasks", "submit", "ocr", "--payload", "{"),
        ("tasks", "submit", "ocr", "--priority", "11"),
        ("tasks", "list", "--from", "soon"),
        ("servers", "maintenance", "a", "perhaps"),
        ("tasks", "list", "--url", "ftp://x"),
        ("tasks", "list", "--token", "a b"),
    ],
)
def test_usage_errors(run, closed: str, words: tuple[str, ...]) -> None:
    ran = run(*words, TASKYARD_URL=closed, TASKYARD_TOKEN="t")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("words", "environ", "says"),
    [
        ((), {"TASKYARD_URL": "127.0.0.1:8787"}, "the node's address (TASKYARD_URL) is not an http:// or https:// URL"),
        ((), {"TASKYARD_URL": "http://["}, "the node's address (TASKYARD_URL) is not"),
        ((), {"TASKYARD_URL": "http://a:99999"}, "the node's address (TASKYARD_URL) is not"),
        (("--url", "ftp://x"), {}, "the node's address (--url) is not"),
        (("--token", "a b"), {}, "no token has (--token)"),
    ],
)
def test_a_wrong_target_names_what_gave_it(run, words: tuple[str, ...], environ: dict[str, str], says: str) -> None:
    ran = run("tasks", "list", *words, **({"TASKYARD_TOKEN": "t"} | environ))
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert says in ran.err
