"""Signs and verifies the bearer tokens of the API: JWTs under HS256. Knows nothing of HTTP and of settings."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from jwt.algorithms import HMACAlgorithm

ROLES: Final = frozenset({"admin", "user", "service"})
LEEWAY_S: Final = 30
MAX_TOKEN_BYTES: Final = 8192
CACHE_SIZE: Final = 10_000
# The claims are checked below, against a clock that is an argument and by the rules of this API.
_UNCHECKED: Final = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


class TokenError(Exception):
    """A token that opens nothing; the text is a reason that repeats nothing of the token."""


class BadToken(TokenError):
    """Not a valid token: 401."""


class NoRole(TokenError):
    """A valid token without any role known here: 403."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: `sub`, its roles out of `ROLES` (never none), and until when (s since the epoch) its token holds."""

    sub: str
    roles: frozenset[str]
    expires_s: float = field(default=0.0, compare=False)


def sign(secret: str, subject: str, roles: Iterable[str], lifetime_ms: int, now_ms: int) -> str:
    """A token for `subject` with `roles`, valid from now for `lifetime_ms` (rounded up to the second).

    Raises ValueError when `Verifier` would refuse it under the same secret.
    """
    carried = sorted(set(roles))
    unknown = [role for role in carried if role not in ROLES]
    if unknown or not carried:
        raise ValueError(f"a token's roles are one or more of {', '.join(sorted(ROLES))}")
    _check_key(secret)
    if lifetime_ms <= 0:
        raise ValueError("a token's lifetime must be more than 0 ms")
    claims = {"sub": subject, "roles": carried, "iat": now_ms // 1000, "exp": -((now_ms + lifetime_ms) // -1000)}
    try:
        _subject(claims)
        token = jwt.encode(claims, secret, algorithm="HS256")
    except BadToken as error:
        raise ValueError(f"{error}") from None
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError("the subject is too long for a token")
    return token


class Verifier:
    """Verifies tokens under `keys`, and under `service_keys` those that can carry only the role `service`.

    `now` gives seconds since the epoch. Successes are kept (the latest used 10,000, by SHA-256 of the token), and the
    expiry of a kept one is checked at each use. Raises ValueError for a key that HS256 cannot use. Not for threads.
    """

    def __init__(self, keys: list[str], service_keys: list[str], now: Callable[[], float]) -> None:
        for key in (*keys, *service_keys):
            _check_key(key)
        self._keys = [(key, ROLES) for key in keys] + [(key, frozenset({"service"})) for key in service_keys]
        self._now = now
        self._kept: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def left_s(self, who: Principal) -> int:
        """For how many seconds more somebody's token is good, and 1 at least."""
        return max(1, int(who.expires_s - self._now()))

    def verify(self, token: str) -> Principal:
        """Whose token it is. Raises BadToken (401) or NoRole (403)."""
        if len(token) > MAX_TOKEN_BYTES:
            raise BadToken(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        if not token.isascii():
            raise BadToken("the token is not a JWT")
        digest = hashlib.sha256(token.encode()).digest()
        kept = self._kept.get(digest)
        if kept is None:
            kept = self._verify(token)
            self._kept[digest] = kept
            if len(self._kept) > CACHE_SIZE:
                self._kept.popitem(last=False)
        elif self._now() >= kept[1] + LEEWAY_S:
            del self._kept[digest]
            raise BadToken("the token has expired")
        else:
            self._kept.move_to_end(digest)
        return kept[0]

    def _verify(self, token: str) -> tuple[Principal, float]:
        claims, allowed = self._claims(token)
        expiry = _time(claims, "exp")
        if expiry is None:
            raise BadToken("the token has no exp")
        if self._now() >= expiry + LEEWAY_S:
            raise BadToken("the token has expired")
        start = _time(claims, "nbf")
        if start is not None and start > self._now() + LEEWAY_S:
            raise BadToken("the token is not valid yet (nbf)")
        subject = _subject(claims)
        roles = claims.get("roles")
        # A string would match by substring: "administrator" is no admin.
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise BadToken("the token's roles are not an array of strings")
        carried = allowed.intersection(roles)
        if not carried:
            raise NoRole(f"the token has none of the roles {', '.join(sorted(allowed))}")
        return Principal(subject, carried, expiry), expiry

    def _claims(self, token: str) -> tuple[dict[str, Any], frozenset[str]]:
        """The claims, and the roles that the key which signed them may give."""
        for key, allowed in self._keys:
            try:
                return jwt.decode(token, key, algorithms=["HS256"], options=_UNCHECKED), allowed  # type: ignore[arg-type]
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidAlgorithmError:
                raise BadToken("the token is not signed with HS256") from None
            # ValueError and RecursionError: JSON that no parser takes, in a head that anyone can write.
            except (jwt.InvalidTokenError, ValueError, RecursionError):
                raise BadToken("the token is not a JWT") from None
        raise BadToken("the token's signature does not match")


def _check_key(key: str) -> None:
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(key)
    except jwt.InvalidKeyError:
        raise ValueError("a public or private key is not a shared secret") from None
    if len(key.encode()) < 32:
        raise ValueError("a secret for HS256 has at least 32 bytes")


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 53:
        raise BadToken(f"the token's {name} is not a time")
    return value


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise BadToken("the token's sub is not a string, or empty")
    # It is stored as text: no NUL, no half of a surrogate pair.
    if "\0" in subject or any("\ud800" <= character <= "\udfff" for character in subject):
        raise BadToken("the token's sub is not a storable text")
    return subject
