"""What stands for something else in the environment file: ``${VAR}``, ``${VAR:-default}`` and ``file:`` for secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tracseq_migrate.config.unknown import Unknown
from tracseq_migrate.document import Document, quoted
from tracseq_migrate.document import Path as Way
from tracseq_migrate.errors import Finding
from tracseq_migrate.ports import Files

_REFERENCE = re.compile(r"\$(?:(\$)|\{([^}]*)(\})?)")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_FILE = "file:"
_SECRET_NAME = re.compile(r"PASSW|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY", re.IGNORECASE)
_SECRET_KEYS = frozenset({"dsn"})


class Filling:
    """Fills in one environment: values, what of them is unknown, which are secrets, and what could not be filled in.

    Args:
        lenient: an unset variable or a missing file makes an `Unknown`, not a finding.
    """

    def __init__(
        self, document: Document, files: Files, environ: Mapping[str, str], folder: Path, *, lenient: bool
    ) -> None:
        self._document = document
        self._files = files
        self._environ = environ
        self._folder = folder
        self._lenient = lenient
        self.findings: list[Finding] = []
        self.unknown: dict[Way, Unknown] = {}
        self.secrets: set[str] = set()
        self.variables: set[str] = set()
        """The variables that secrets came from."""

    def fill(self, value: Any, at: Way) -> Any:
        """A copy of the value with every text in it filled in."""
        match value:
            case dict():
                return {key: self.fill(each, (*at, key)) for key, each in value.items()}
            case list():
                return [self.fill(each, (*at, index)) for index, each in enumerate(value)]
            case str():
                return self._text(value, at)
            case _:
                return value

    def _text(self, written: str, at: Way) -> Any:
        missing: list[str] = []
        broken: list[str] = []
        text = _REFERENCE.sub(lambda match: self._reference(match, missing, broken), written)
        if broken:
            message = f"{quoted(broken[0])} is no variable"
            remedy = "write ${NAME} or ${NAME:-default}; a dollar sign that means itself is written $$"
            self.findings.append(self._document.finding(at, message, remedy))
            self.unknown[at] = Unknown(written, message)
            return self.unknown[at]
        if missing:
            names = " and ".join(dict.fromkeys(missing))
            return self._without(
                written, f"{names} is not set", at, "set it, or give a default: ${NAME:-default}"
            )
        if "command" in at and (text.startswith(_FILE) or self._holds_secret(written)):
            message = "a secret would stand in an argument list, which everybody on this machine can read"
            remedy = "let the program read it from a file, or from a variable that is named under hand_down"
            self.findings.append(self._document.finding(at, message, remedy))
        if text.startswith(_FILE):
            return self._secret_file(written, text.removeprefix(_FILE).strip(), at)
        found = set()
        if at and at[-1] in _SECRET_KEYS:
            found = secrets_of(text)
        elif "://" in text:
            found = _passwords(text)
        if found:
            self.secrets |= found
            self.variables |= {
                match[2].partition(":-")[0] for match in _REFERENCE.finditer(written) if match[2]
            }
        return text

    def _reference(self, match: re.Match[str], missing: list[str], broken: list[str]) -> str:
        dollar, inner, closed = match.groups()
        if dollar:
            return "$"
        parts = _NAME.fullmatch(inner) if closed else None
        if parts is None:
            broken.append(match.group())
            return ""
        name, default = parts.groups()
        value = self._environ.get(name)
        if default is not None:
            value = value or default
        if value is None:
            missing.append(name)
            return ""
        if _SECRET_NAME.search(name):
            self.secrets.add(value)
            self.variables.add(name)
        return value

    def _holds_secret(self, written: str) -> bool:
        named = {match[2].partition(":-")[0] for match in _REFERENCE.finditer(written) if match[2]}
        return any(_SECRET_NAME.search(name) for name in named)

    def _secret_file(self, written: str, name: str, at: Way) -> Any:
        path = self._folder / name
        remedy = "write the secret into it, readable by you alone"
        try:
            body = self._files.read(path)
        except FileNotFoundError:
            return self._without(written, f"the secret file {path} is missing", at, remedy)
        except OSError as error:
            why = error.strerror or type(error).__name__
            return self._without(written, f"the secret file {path} could not be read: {why}", at, "")
        try:
            text = body.decode("utf-8").strip()
        except UnicodeDecodeError:
            return self._without(written, f"the secret file {path} is not UTF-8 text", at, "")
        if not text:
            return self._without(written, f"the secret file {path} is empty", at, remedy)
        self.secrets |= secrets_of(text) if at[-1] in _SECRET_KEYS else {text, *_passwords(text)}
        return text

    def _without(self, written: str, why: str, at: Way, remedy: str) -> Unknown:
        if not self._lenient:
            self.findings.append(self._document.finding(at, why, remedy))
        unknown = Unknown(written, why)
        self.unknown[at] = unknown
        return unknown


def secrets_of(dsn: str) -> set[str]:
    """What must not be shown of a connection string: all of it where it has a password, and its passwords alone."""
    passwords = _passwords(dsn)
    if passwords:
        return {dsn, *passwords}
    # What is no connection string at all may be a password that stands in its place.
    return set() if "://" in dsn or re.match(r"\s*\w+\s*=", dsn) else {dsn}


def _passwords(text: str) -> set[str]:
    found: set[str] = set()
    if "://" in text:
        try:
            parts = urlsplit(text)
            found.add(parts.password or "")
            if parts.scheme in ("http", "https") and parts.password is None:
                found.add(parts.username or "")  # a token
            found |= {value for key, value in parse_qsl(parts.query) if "password" in key.lower()}
        except ValueError:
            found.add(text)
        # Where a password has a character that it may not have in a URL, this is what was meant.
        found |= set(re.findall(r"://[^:@/]*:(.*)@", text, re.DOTALL))
        found |= {unquote(each) for each in found}
    else:
        for quoted_word, word in re.findall(
            r"password\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))", text, re.IGNORECASE
        ):
            found.add(word or re.sub(r"\\(.)", r"\1", quoted_word))
    return found - {""}
