"""Passwords, hashed in the one format that both the monolith and the authentication service can check."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

# Low on purpose: the sandbox shares a small machine with what it is there to test.
_COST, _BLOCK, _PARALLEL = 512, 8, 1


def hash_password(password: str, *, salt: bytes | None = None) -> str:
    """``scrypt$N$R$P$SALT$DIGEST``; under 100 characters. A salt is given by those who need the same hash again."""
    salt = salt or secrets.token_bytes(16)
    digest = _digest(password, salt, _COST, _BLOCK, _PARALLEL)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_text(salt)}${_text(digest)}"


def check_password(password: str, stored: str | None) -> bool:
    """Whether a password is the stored one; false for every hash that is not of this format, and for none."""
    try:
        scheme, cost, block, parallel, salt, digest = (stored or "").split("$")
        if scheme != "scrypt":
            return False
        expected = base64.b64decode(digest, validate=True)
        actual = _digest(
            password, base64.b64decode(salt, validate=True), int(cost), int(block), int(parallel)
        )
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(actual, expected)


def _digest(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
