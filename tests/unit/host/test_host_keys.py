"""Proofs are bound to task, attempt and server, apiKeys are sealed, and keys rotate. Checked by the standards alone."""

import base64
import hashlib
import hmac

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from taskyard.host.keys import Keys, fingerprint

KEY, OLD, OTHER = "k" * 32, "o" * 32, "x" * 43
IDS = st.text(st.characters(codec="ascii", exclude_characters="\n"), min_size=1, max_size=40)
NUMBERS = st.integers(1, 10**9)


def derived(key: str, purpose: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) for 32 bytes, without a salt."""
    extracted = hmac.digest(bytes(32), key.encode(), hashlib.sha256)
    return hmac.digest(extracted, purpose + b"\x01", hashlib.sha256)


@given(IDS, NUMBERS, IDS)
def test_a_proof_is_an_hmac_under_a_key_of_its_own(task: str, attempt: int, server: str) -> None:
    said = f"{task}\n{attempt}\n{server}".encode()
    whole = hmac.digest(derived(KEY, b"taskyard callback proof"), said, hashlib.sha256)
    proof = Keys([KEY]).proof(task, attempt, server)
    given_bits = base64.urlsafe_b64decode(proof)
    assert len(given_bits) * 8 >= 128
    assert whole.startswith(given_bits)
    assert Keys([KEY]).proof_is_good(task, attempt, server, proof)


@given(st.tuples(IDS, NUMBERS, IDS), st.tuples(IDS, NUMBERS, IDS))
def test_a_proof_is_good_for_one_task_attempt_and_server(
    one: tuple[str, int, str], other: tuple[str, int, str]
) -> None:
    keys = Keys([KEY])
    proof = keys.proof(*one)
    mixed = {
        (task, attempt, server)
        for task, attempt, server in zip(*([a, b] for a, b in zip(one, other, strict=True)), strict=True)
    }
    for name in {*mixed, (one[0], one[1], other[2]), (one[0], other[1], one[2]), (other[0], one[1], one[2])}:
        assert keys.proof_is_good(*name, proof) is (name == one)


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: "",
        lambda proof: proof[:-1],
        lambda proof: proof + "A",
        lambda proof: proof + "=",
        lambda proof: proof.swapcase(),
        lambda proof: proof[::-1],
        lambda proof: f" {proof}",
        lambda proof: f"{proof}\n",
        lambda proof: proof[:-1] + "é",
        lambda proof: "\ud800" + proof[1:],
        lambda proof: "A" * len(proof),
    ],
)
def test_nothing_but_the_proof_is_a_proof(change: object) -> None:
    keys = Keys([KEY])
    proof = keys.proof("task_1", 1, "s")
    wrong = change(proof)  # type: ignore[operator]
    assert wrong != proof
    assert not keys.proof_is_good("task_1", 1, "s", wrong)


def test_older_keys_verify_and_open_and_the_first_makes() -> None:
    old, both, new = Keys([OLD]), Keys([KEY, OLD]), Keys([KEY])
    proof, sealed = old.proof("t", 1, "s"), old.seal("secret")
    assert both.proof_is_good("t", 1, "s", proof)
    assert both.open(sealed) == "secret"
    assert both.proof("t", 1, "s") == new.proof("t", 1, "s") != proof
    assert new.open(both.seal("secret")) == "secret"
    assert not new.proof_is_good("t", 1, "s", proof)
    assert new.open(sealed) is None


def test_a_sealed_api_key_shows_nothing_and_cannot_be_changed() -> None:
    keys = Keys([KEY])
    sealed = keys.seal("a secret")
    assert "secret" not in sealed
    assert b"secret" not in base64.urlsafe_b64decode(sealed)
    assert keys.seal("a secret") != sealed, "two servers with one key do not look alike"
    middle = len(sealed) // 2
    for changed in (sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :], sealed[:-4], ""):
        assert keys.open(changed) is None
    assert Keys([OTHER]).open(sealed) is None
    own = Fernet(base64.urlsafe_b64encode(derived(KEY, b"taskyard api key")))
    assert own.decrypt(sealed.encode()) == b"a secret"


def test_no_use_of_a_key_tells_anything_of_another() -> None:
    purposes = [b"taskyard callback proof", b"taskyard api key", b"taskyard fingerprint"]
    assert len({derived(KEY, purpose) for purpose in purposes}) == len(purposes)
    assert fingerprint(KEY) == derived(KEY, b"taskyard fingerprint").hex()
    assert fingerprint(KEY) != fingerprint(OTHER)
