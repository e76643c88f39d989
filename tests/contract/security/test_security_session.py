"""A browser's session: the cookie, and that only pages of this node may use it to change anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.api.yard import SECRET, Yard, eventually, refused, token


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path / "data")
    yield made
    made.stop()


def ours(yard: Yard) -> dict[str, str]:
    return {"Origin": yard.url, "Content-Type": "application/json"}


def test_a_session_from_sign_in_to_sign_out(yard: Yard) -> None:
    browser = yard.client()
    assert browser.get("/api/session").status_code == 401
    answer = browser.post("/api/session", json={"token": token("admin")}, headers=ours(yard))
    assert answer.json().keys() == {"sub", "roles", "exp"}
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert browser.get("/api/session").json()["roles"] == ["admin"]
    assert browser.get("/api/tasks").status_code == 200
    task = browser.post("/api/task", json={"type": "t", "payload": {}}, headers=ours(yard))
    assert task.status_code == 200
    page = browser.get("/tasks", headers={"Accept": "text/html"})
    assert "&quot;sub&quot;:&quot;ann&quot;" in page.text
    assert token("admin")[:40] not in page.text
    assert browser.delete("/api/session", headers=ours(yard)).status_code == 200
    assert browser.get("/api/session").status_code == 401


def test_who_comes_and_goes_is_on_record_and_who_is_turned_away_is_counted(tmp_path: Path) -> None:
    yard = Yard(tmp_path / "data", sign_in_span=1_000, sign_in_sources=4, trusted_proxies=("127.0.0.1",))
    try:
        browser, admin = yard.client(), yard.client("admin", sub="root")

        def come(jwt: str, origin: str = yard.url, **headers: str) -> int:
            headers = ours(yard) | {"Origin": origin} | headers
            return browser.post("/api/session", json={"token": jwt}, headers=headers).status_code

        def rows() -> list[tuple[str, str, str, str | None]]:
            entries = admin.get("/api/audit?action=session.").json()["entries"]
            return sorted((row["action"], row["who"], row["target"], row["details"]) for row in entries)

        assert come(token("user", sub="ann"), **{"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}) == 200
        browser.delete("/api/session", headers=ours(yard))
        # Without a session nobody can sign out, nor fill the record.
        assert browser.delete("/api/session", headers=ours(yard)).status_code == 200
        came = ("session.begin", "ann", "198.51.100.7", None)
        went = ("session.end", "ann", "127.0.0.1", None)
        eventually(lambda: rows() == [came, went])
        for number in range(30):
            assert come("nonsense", **{"X-Forwarded-For": f"192.0.2.{number}"}) == 401
        for _ in range(5):
            assert come(token("user"), "https://evil.example", **{"X-Forwarded-For": "2001:db8::1"}) == 403
        bad = token("admin", secret="another secret that is long enough for HS256")
        assert come(bad, **{"X-Forwarded-For": "192.0.2.0"}) == 401

        def turned_away() -> int:
            refused = [row for row in rows() if row[0] == "session.refuse"]
            assert all(row[1] == "" and row[3] is not None for row in refused)
            counts = [re.findall(r"(\d+) times", row[3] or "") for row in refused]
            return sum(int(found[0]) if found else 1 for found in counts)

        eventually(lambda: turned_away() == 36)
        # A flood from everywhere is a few rows each time.
        assert len(rows()) < 36
        assert any(row[2] == "others" for row in rows())
    finally:
        yard.stop()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json", "Origin": "https://evil.example"},
        {"Content-Type": "application/json", "Origin": "null"},
        {"Content-Type": "application/json", "Origin": "OURS", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json", "Origin": "OURS.evil.example"},
    ],
)
def test_a_change_by_cookie_needs_a_page_of_this_node(yard: Yard, headers: dict[str, str]) -> None:
    browser = yard.client()
    browser.post("/api/session", json={"token": token("admin")}, headers=ours(yard))
    given = {name: value.replace("OURS", yard.url) for name, value in headers.items()}
    body = b'{"type": "t", "payload": {}}'
    refused(browser.post("/api/task", content=body, headers=given), 403, "origin")
    refused(browser.delete("/api/session", headers=given), 403, "origin")
    refused(browser.post("/api/session", content=b'{"token": "x"}', headers=given), 403, "origin")
    assert browser.get("/api/tasks").json()["tasks"] == []


def test_a_form_of_another_page_is_no_json(yard: Yard) -> None:
    browser = yard.client()
    browser.post("/api/session", json={"token": token("admin")}, headers=ours(yard))
    plain = ours(yard) | {"Content-Type": "text/plain"}
    refused(browser.post("/api/task", content=b'{"type": "t", "payload": {}}', headers=plain), 415, "application/json")


def test_a_bearer_token_goes_before_the_cookie(yard: Yard) -> None:
    browser = yard.client()
    browser.post("/api/session", json={"token": token("admin")}, headers=ours(yard))
    bearer = {"Authorization": f"Bearer {token('user', sub='bob')}"}
    assert browser.get("/api/session", headers=bearer).json()["sub"] == "bob"


@pytest.mark.parametrize(
    ("jwt", "code"),
    [
        (token("admin", secret=SECRET + "!"), 401),
        ("x.y.z", 401),
        (token("admin", sub="a" * 4000), 400),
    ],
)
def test_tokens_that_make_no_session(yard: Yard, jwt: str, code: int) -> None:
    answer = yard.client().post("/api/session", json={"token": jwt}, headers=ours(yard))
    assert answer.status_code == code, answer.text
    assert "set-cookie" not in answer.headers


def from_elsewhere(yard: Yard, scheme: str) -> httpx.Response:
    headers = {"Host": "yard.example", "Origin": f"{scheme}://yard.example", "Content-Type": "application/json"}
    return yard.client().post("/api/session", json={"token": token("admin")}, headers=headers)


def test_from_elsewhere_only_over_https(yard: Yard) -> None:
    refused(from_elsewhere(yard, "http"), 403, "HTTPS")
    cookie, gone = from_elsewhere(yard, "https").headers.get_list("set-cookie")
    assert re.match(r"__Host-taskyard=[^;]+;", cookie)
    assert cookie.endswith("Secure")
    assert re.match(r"taskyard=;.* Max-Age=0;", gone), "a plain one of before must not stay"


def test_a_setting_allows_plain_http(tmp_path: Path) -> None:
    yard = Yard(tmp_path / "data", session_plain_http=True)
    try:
        assert from_elsewhere(yard, "http").status_code == 200
    finally:
        yard.stop()


@pytest.mark.parametrize("plain", [False, True])
def test_over_https_a_plain_cookie_is_no_session(tmp_path: Path, plain: bool) -> None:
    yard = Yard(tmp_path / "data", public_url="https://yard.example", session_plain_http=plain)
    try:
        client, jwt = yard.client(), token("admin")
        for name, code in (("taskyard", 200 if plain else 401), ("__Host-taskyard", 200)):
            headers = {"Cookie": f"{name}={jwt}"}
            assert client.get("/api/session", headers=headers).status_code == code
            page = client.get("/tasks", headers=headers | {"Accept": "text/html"})
            assert ("&quot;sub&quot;:&quot;ann&quot;" in page.text) is (code == 200)
        answer = client.post("/api/session", json={"token": jwt}, headers=ours(yard))
        assert answer.status_code == (200 if plain else 403), "no session that would not be accepted"
    finally:
        yard.stop()


def test_the_page_may_do_nothing_that_the_policy_need_allow(yard: Yard) -> None:
    client: Callable[..., httpx.Response] = yard.client(headers={"Accept": "text/html"}).get
    for path, code in (("/", 200), ("/task/x", 200), ("/servers/a", 200), ("/nowhere", 404)):
        answer = client(path)
        assert answer.status_code == code
        csp = answer.headers["content-security-policy"]
        for rule in (
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ):
            assert rule in csp
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|https?://", answer.text)


def test_files_are_for_ever_and_packed(yard: Yard) -> None:
    client = yard.client()
    source = re.search(r'src="\./(static/[0-9a-f]+/app\.js)"', client.get("/", headers={"Accept": "text/html"}).text)
    assert source is not None
    answer = client.get("/" + source[1])
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get("/" + source[1], headers={"Accept-Encoding": "identity"}).headers
    assert client.get("/static/0000000000000000/app.js").status_code == 404
