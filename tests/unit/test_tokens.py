"""The token rules of the API, one test for each way a token is wrong."""

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from taskyard import tokens
from taskyard.tokens import BadToken, NoRole, Principal, Verifier, sign

KEY, OLD, SERVICE, OTHER = ("k" * 32, "o" * 32, "s" * 32, "x" * 32)
NOW = 1_700_000_000


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(clock: Clock) -> Verifier:
    return Verifier([KEY, OLD], [SERVICE], clock)


def made(key: str = KEY, **claims: object) -> str:
    """A token signed under `key`; a claim of None is left out."""
    whole = {"sub": "ann", "roles": ["user"], "exp": NOW + 60, **claims}
    return jwt.encode({name: value for name, value in whole.items() if value is not None}, key, algorithm="HS256")


def raw(head: bytes, body: bytes, key: str = KEY) -> str:
    """A token of any bytes with a true HS256 signature."""
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head, body))
    mac = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


HEAD = b'{"alg":"HS256","typ":"JWT"}'


def test_signed_token_verifies(verifier: Verifier) -> None:
    token = sign(KEY, "ann", ["user", "admin"], 60_000, NOW * 1000)
    assert verifier.verify(token) == Principal("ann", frozenset({"user", "admin"}))


def test_lifetime_is_rounded_up_to_the_second() -> None:
    claims = jwt.decode(sign(KEY, "ann", ["user"], 1, NOW * 1000), options={"verify_signature": False})
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"secret": "short"}, "32 bytes"),
        ({"secret": "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"}, "not a shared secret"),
        ({"subject": ""}, "empty"),
        ({"subject": "a\0"}, "storable"),
        ({"subject": "s" * 9000}, "too long"),
        ({"roles": []}, "roles"),
        ({"roles": ["root"]}, "roles"),
        ({"lifetime_ms": 0}, "lifetime"),
    ],
)
def test_sign_refuses_what_verify_would(change: dict[str, object], says: str) -> None:
    arguments = {"secret": KEY, "subject": "ann", "roles": ["user"], "lifetime_ms": 1000, "now_ms": 0, **change}
    with pytest.raises(ValueError, match=says):
        sign(**arguments)  # type: ignore[arg-type]


def test_other_roles_are_ignored(verifier: Verifier) -> None:
    assert verifier.verify(made(roles=["user", "root", "Admin"])).roles == {"user"}


@pytest.mark.parametrize("roles", [[], ["root"], ["administrator"]])
def test_no_known_role_is_403(verifier: Verifier, roles: list[str]) -> None:
    with pytest.raises(NoRole):
        verifier.verify(made(roles=roles))


@pytest.mark.parametrize("roles", [None, "admin", "administrator", {"admin": True}, ["admin", 1], [["admin"]], 7])
def test_roles_that_are_no_list_of_strings(verifier: Verifier, roles: object) -> None:
    with pytest.raises(BadToken, match="roles"):
        verifier.verify(made(roles=roles))


@pytest.mark.parametrize("exp", [None, True, "1900000000", [1], -1])
def test_exp_must_be_a_time(verifier: Verifier, exp: object) -> None:
    with pytest.raises(BadToken, match="exp"):
        verifier.verify(made(exp=exp))


@pytest.mark.parametrize("exp", [b"NaN", b"Infinity", b"1e999", b"1" + b"0" * 400, b"1" * 5000])
def test_exp_beyond_numbers(verifier: Verifier, exp: bytes) -> None:
    with pytest.raises(BadToken):
        verifier.verify(raw(HEAD, b'{"sub":"ann","roles":["user"],"exp":' + exp + b"}"))


@pytest.mark.parametrize(("past", "good"), [(29.9, True), (30, False)])
def test_expiry_has_30_s_leeway(verifier: Verifier, clock: Clock, past: float, good: bool) -> None:
    token = made(exp=NOW)
    clock.now += past
    if good:
        assert verifier.verify(token).sub == "ann"
    else:
        with pytest.raises(BadToken, match="expired"):
            verifier.verify(token)


def test_expiry_is_checked_again_on_a_kept_token(verifier: Verifier, clock: Clock) -> None:
    token = made(exp=NOW + 60)
    verifier.verify(token)
    clock.now += 60 + 29
    assert verifier.verify(token).sub == "ann"
    clock.now += 1
    for _ in range(2):
        with pytest.raises(BadToken, match="expired"):
            verifier.verify(token)


@pytest.mark.parametrize(("ahead", "good"), [(30, True), (31, False)])
def test_nbf_has_30_s_leeway(verifier: Verifier, ahead: int, good: bool) -> None:
    token = made(nbf=NOW + ahead)
    if good:
        assert verifier.verify(token).sub == "ann"
    else:
        with pytest.raises(BadToken, match="not valid yet"):
            verifier.verify(token)


@pytest.mark.parametrize("nbf", [True, "0"])
def test_nbf_must_be_a_time(verifier: Verifier, nbf: object) -> None:
    with pytest.raises(BadToken, match="nbf"):
        verifier.verify(made(nbf=nbf))


@pytest.mark.parametrize("sub", [b"7", b'""', b"null", b'["ann"]', b"true", rb'"a\u0000b"', rb'"\ud800"'])
def test_sub_must_be_a_storable_string(verifier: Verifier, sub: bytes) -> None:
    with pytest.raises(BadToken, match="sub"):
        verifier.verify(raw(HEAD, b'{"roles":["user"],"exp":1800000000,"sub":' + sub + b"}"))


def test_claims_of_others_do_not_matter(verifier: Verifier) -> None:
    assert verifier.verify(made(aud="elsewhere", iss="someone", iat="soon", jti=7)).sub == "ann"


def test_alg_none(verifier: Verifier) -> None:
    body = json.dumps({"sub": "ann", "roles": ["admin"], "exp": NOW + 60}).encode()
    unsigned = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"none"}', body)) + b"."
    for token in (unsigned.decode(), raw(b'{"alg":"none"}', body), raw(b'{"alg":"HS512"}', body), raw(b"{}", body)):
        with pytest.raises(BadToken, match="HS256"):
            verifier.verify(token)


def test_rs256_token_is_refused_and_a_public_key_is_no_secret(clock: Clock) -> None:
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = {"sub": "ann", "roles": ["admin"], "exp": NOW + 60}
    with pytest.raises(BadToken, match="HS256"):
        Verifier([KEY], [], clock).verify(jwt.encode(claims, private, algorithm="RS256"))
    with pytest.raises(ValueError, match="not a shared secret"):
        Verifier([public.decode()], [], clock)
    with pytest.raises(ValueError, match="32 bytes"):
        Verifier([KEY], ["short"], clock)


def test_rotation(clock: Clock) -> None:
    token = made(OLD)
    assert Verifier([KEY, OLD], [], clock).verify(token).sub == "ann"
    for keys in ([KEY], []):
        with pytest.raises(BadToken, match="signature"):
            Verifier(keys, [], clock).verify(token)


def test_tampered_token(verifier: Verifier) -> None:
    head, _, signature = made().split(".")
    body = base64.urlsafe_b64encode(json.dumps({"sub": "ann", "roles": ["admin"], "exp": NOW + 60}).encode())
    with pytest.raises(BadToken, match="signature"):
        verifier.verify(f"{head}.{body.rstrip(b'=').decode()}.{signature}")


def test_service_key_carries_only_service(verifier: Verifier) -> None:
    assert verifier.verify(made(SERVICE, roles=["admin", "service", "user"])).roles == {"service"}
    with pytest.raises(NoRole, match="roles service"):
        verifier.verify(made(SERVICE, roles=["admin", "user"]))
    assert verifier.verify(made(KEY, roles=["service"])).roles == {"service"}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "....",
        "é.é.é",
        raw(HEAD, b"[1]"),
        raw(HEAD, b"\xff"),
        raw(HEAD, b"{"),
        raw(b"[]", b"{}"),
        raw(b'{"alg":"HS256","crit":["x"],"x":1}', b'{"sub":"ann","roles":["user"],"exp":1800000000}'),
        raw(b'{"alg":["HS256"]}', b"{}"),
        raw(b"[" * 4000, b"{}"),
        raw(HEAD, b"[" * 4000),
    ],
)
def test_not_a_jwt(verifier: Verifier, token: str) -> None:
    with pytest.raises(BadToken):
        verifier.verify(token)


def test_huge_token_is_refused_before_hashing(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = made(pad="p" * 5900)
    assert len(fits) <= tokens.MAX_TOKEN_BYTES
    assert verifier.verify(fits).sub == "ann"
    monkeypatch.setattr(hashlib, "sha256", None)
    with pytest.raises(BadToken, match="8192"):
        verifier.verify("a" * (tokens.MAX_TOKEN_BYTES + 1))


def test_cache_keeps_the_latest_used_and_only_successes(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CACHE_SIZE", 2)
    verifier = Verifier([KEY], [], clock)
    seen = []
    monkeypatch.setattr(verifier, "_claims", lambda token, real=verifier._claims: (seen.append(token), real(token))[1])
    first, second, third, bad = made(sub="1"), made(sub="2"), made(sub="3"), made(OTHER)
    for token in (first, second, first, third, first, second):
        verifier.verify(token)
    assert seen == [first, second, third, second]
    for _ in range(2):
        with pytest.raises(BadToken):
            verifier.verify(bad)
    assert seen[4:] == [bad, bad]


def test_reasons_repeat_nothing_of_the_token(verifier: Verifier) -> None:
    token = made(OTHER, sub="hidden")
    with pytest.raises(BadToken) as caught:
        verifier.verify(token)
    assert "hidden" not in str(caught.value)
    assert not any(part in str(caught.value) for part in token.split("."))
