"""Which node is called with which token."""

from pathlib import Path

import pytest

from taskyard.cli.profiles import DEFAULT_URL, profile_file, target
from taskyard.cli.stop import Stop

FILE = """
[profiles.default]
url = "http://kept"
token = "kept-token"
[profiles.prod]
url = "https://prod/"
token = "prod-token"
[profiles.bare]
token = "bare-token"
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    path = profile_file({"HOME": str(tmp_path)})
    path.parent.mkdir(parents=True)
    path.write_text(FILE)
    path.chmod(0o600)
    return {"HOME": str(tmp_path)}


def rewritten(home: dict[str, str], text: str) -> dict[str, str]:
    profile_file(home).write_text(text)
    return home


def refused(environ: dict[str, str], profile: str | None = None, url: str | None = None) -> str:
    with pytest.raises(Stop) as caught:
        target(url, None, profile, environ)
    assert caught.value.code == 2
    return caught.value.message


def test_place_of_the_file() -> None:
    assert profile_file({"HOME": "/home/ann"}) == Path("/home/ann/.config/taskyard/config.toml")
    assert profile_file({"HOME": "/home/ann", "XDG_CONFIG_HOME": "/cfg"}) == Path("/cfg/taskyard/config.toml")


def test_order(home: dict[str, str]) -> None:
    env = {**home, "TASKYARD_URL": "http://env", "TASKYARD_TOKEN": "env-token"}
    assert target(None, None, None, home)[:2] == ("http://kept", "kept-token")
    assert target(None, None, None, env)[:2] == ("http://env", "env-token")
    assert target("http://flag/", "flag-token", "prod", env)[:2] == ("http://flag", "flag-token")
    assert target(None, None, "prod", env)[:2] == ("https://prod", "prod-token")
    assert target(None, None, None, {**home, "TASKYARD_PROFILE": "prod"})[:2] == ("https://prod", "prod-token")
    assert target(None, None, "bare", home)[:2] == (DEFAULT_URL, "bare-token")


def test_what_gave_the_address_and_the_token_is_named(home: dict[str, str]) -> None:
    env = {**home, "TASKYARD_URL": "http://env", "TASKYARD_TOKEN": "env-token"}
    kept = f"profile prod in {profile_file(home)}"
    assert target(None, None, None, env)[2:] == ("TASKYARD_URL", "TASKYARD_TOKEN")
    assert target("http://flag", None, None, env)[2:] == ("--url", "TASKYARD_TOKEN")
    assert target(None, "flag-token", "prod", env)[2:] == (kept, "--token")
    assert target(None, None, "prod", env)[2:] == (kept, kept)
    assert target(None, "t", "bare", home).url_from.startswith("the default")


def test_without_any_file(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "TASKYARD_TOKEN": " t\n"}
    assert target(None, None, None, environ)[:2] == (DEFAULT_URL, "t")
    assert "does not exist" in refused(environ, "prod")


def test_a_profiles_token_goes_to_its_own_url_only(home: dict[str, str]) -> None:
    assert "taskyard token --role admin" in refused(home, url="http://elsewhere")
    assert "http://env" in refused({**home, "TASKYARD_URL": "http://env"})
    assert "http://elsewhere" in refused(home, "bare", "http://elsewhere")
    assert target("https://prod", None, "prod", home).token == "prod-token"


def test_no_token_says_how_to_make_one(tmp_path: Path) -> None:
    told = refused({"HOME": str(tmp_path)})
    for part in (DEFAULT_URL, "taskyard token --role admin", "TASKYARD_TOKEN", str(tmp_path)):
        assert part in told


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_an_open_file_with_a_token_is_refused(home: dict[str, str], mode: int) -> None:
    profile_file(home).chmod(mode)
    assert f"chmod 600 {profile_file(home)}" in refused(home)


def test_an_open_file_without_tokens_is_fine(home: dict[str, str]) -> None:
    rewritten(home, '[profiles.default]\nurl = "http://kept"')
    profile_file(home).chmod(0o644)
    assert target(None, "t", None, home)[:2] == ("http://kept", "t")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = ", "is not TOML"),
        ("profiles = 1", "profiles are tables"),
        ("[profiles]\ndefault = 1", "profiles are tables"),
        ("[profiles.default]\ntoken = 1", "profile default has token"),
        ("[profiles.default]\nurll = 'x'", "profile default has urll"),
    ],
)
def test_wrong_files(home: dict[str, str], text: str, says: str) -> None:
    assert says in refused(rewritten(home, text))


def test_unknown_profile_names_those_known(home: dict[str, str]) -> None:
    assert "default, prod, bare" in refused(home, "staging")
