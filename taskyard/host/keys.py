"""The node's secret key and what is derived from it: callback proofs, and the encryption of stored apiKeys.

The key comes from the settings or from a file in the data directory (made at the first start, 0600). Each use has a key
of its own (HKDF, RFC 5869), so that none of them tells anything of another, and none depends on JWT_SECRET.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from taskyard.host.errors import StartError
from taskyard.settings.secretfile import write_secret

KEY_FILE = "secret_key"
KEY_LEAST = 32
_KEY = re.compile(rf"[!-~]{{{KEY_LEAST},}}", re.ASCII)
PROOF_BYTES = 18  # 144 bits, 24 characters in base64url


def load_keys(configured: Sequence[str], data_path: Path) -> list[str]:
    """The secret keys, newest first. Raises `StartError` for one that is too short or a file that cannot be used."""
    if configured:
        for key in configured:
            if len(key.encode()) < KEY_LEAST:
                raise StartError(
                    f"TASKYARD_SECRET_KEY must have at least {KEY_LEAST} bytes; it has {len(key.encode())}."
                )
        return list(configured)
    path = data_path / KEY_FILE
    try:
        if not path.exists():
            write_secret(path, secrets.token_urlsafe(KEY_LEAST))
        if path.stat().st_mode & 0o077:
            raise StartError(f"{path} can be read by others; run: chmod 600 {path}")
        key = path.read_text(errors="replace").strip()
    except OSError as error:
        raise StartError(
            f"{path}: {error.strerror}; the node needs a key file there, or TASKYARD_SECRET_KEY."
        ) from error
    if not _KEY.fullmatch(key):
        raise StartError(
            f"{path} is damaged: it must hold {KEY_LEAST} or more printable characters; restore it from a backup, or "
            "remove it for a new one (stored apiKeys are lost then, and callbacks of running tasks refused)."
        )
    return [key]


def fingerprint(secret_key: str) -> str:
    """What tells one secret key from another and nothing of it."""
    return _derive(secret_key, b"taskyard fingerprint").hex()


class Keys:
    """Proofs and sealed apiKeys under a list of secret keys: the first makes them, all are accepted."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._proofs = [_Proofs(_derive(key, b"taskyard callback proof")) for key in secret_keys]
        self._fernet = MultiFernet(
            [Fernet(base64.urlsafe_b64encode(_derive(key, b"taskyard api key"))) for key in secret_keys]
        )
        self._opened: dict[str, str] = {}
        self._internal = [_derive(key, b"taskyard internal").hex() for key in secret_keys]

    def proof(self, task_id: str, attempt: int, server_id: str) -> str:
        """What makes a callback URL sufficient, in base64url."""
        return self._proofs[0].of(task_id, attempt, server_id).decode()

    def proof_is_good(self, task_id: str, attempt: int, server_id: str, proof: str) -> bool:
        """Whether a proof is right, compared in constant time."""
        given = proof.encode(errors="replace")
        good = False
        for proofs in self._proofs:
            good |= hmac.compare_digest(proofs.of(task_id, attempt, server_id), given)
        return good

    @property
    def internal(self) -> str:
        """By which nodes of one yard know each other."""
        return self._internal[0]

    def is_internal(self, token: str) -> bool:
        """Whether it is a token of a node of this yard, compared in constant time."""
        given = token.encode(errors="replace")
        good = False
        for known in self._internal:
            good |= hmac.compare_digest(known.encode(), given)
        return good

    def seal(self, api_key: str) -> str:
        """Encrypt an apiKey for the store."""
        return self._fernet.encrypt(api_key.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """Decrypt a stored apiKey; `None` when no present key can."""
        opened = self._opened.get(sealed)
        if opened is None:
            try:
                opened = self._fernet.decrypt(sealed.encode()).decode()
            except InvalidToken:
                return None
            if len(self._opened) > 10_000:
                self._opened.clear()
            self._opened[sealed] = opened
        return opened


def _derive(key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key.encode())


class _Proofs:
    """HMAC-SHA-256 under one key. Both pads are hashed once (RFC 2104, section 4): a third of `hmac.digest`'s time."""

    def __init__(self, key: bytes) -> None:
        block = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, task_id: str, attempt: int, server_id: str) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{task_id}\n{attempt}\n{server_id}".encode())
        outer.update(inner.digest())
        return base64.urlsafe_b64encode(outer.digest()[:PROOF_BYTES])
