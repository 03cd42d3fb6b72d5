"""Whether one input was met as it must be: read, or refused in words at a place inside the file; never anything else."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.chaos.suite import Wrong
from tests.chaos.suites.input.corpus import HEALTH, STATUS
from tests.chaos.suites.input.dotenv_files import compare
from tracseq_migrate import config, document, plan
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.adapters.dotenv.text import FlagText
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.gateway import HttpGateway
from tracseq_migrate.config import TRACSEQ_ROUTES
from tracseq_migrate.config.load import Facts
from tracseq_migrate.document.builder import Builder
from tracseq_migrate.errors import Finding, InvalidInput, InvalidSetup, StepFailed, UsageError
from tracseq_migrate.ports import Answer, Routes, Unreachable
from tracseq_migrate.step import Uses

FLAGS = ("USE_STORAGE_SERVICE", "USE_RAG_SERVICE")
ENVIRON = {"HOME": "/home/nobody", "SOME_TOKEN": "t0ken", "MONOLITH": "http://127.0.0.1:1"}
_STEERING = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_SERVICES = frozenset({"monolith", *(route.service for route in TRACSEQ_ROUTES)})
LAB = Facts(
    Uses(
        services=_SERVICES,
        flags=frozenset(route.flag for route in TRACSEQ_ROUTES),
        databases=frozenset({"main", "storage", "auth"}),
        targets=frozenset({"gateway", *_SERVICES}),
    ),
    Routes({route.flag: route for route in TRACSEQ_ROUTES}),
    "monolith",
)


class Judge:
    """Meets inputs in a folder of its own, which is best one in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "secret").write_text("host=127.0.0.1 password=hush")
        self._environment = folder / "tracseq-migrate.yaml"
        self._flags = folder / "flags.env"
        self._store = DotenvFlagStore(self._flags, names=FLAGS)
        self._judges: Mapping[str, Callable[[bytes, random.Random], str]] = {
            "plan": self._plan,
            "environment": self._environment_file,
            "flags": self._flag_file,
            "answer": self._answer,
            "dotenv": self._dotenv,
        }

    def meet(self, kind: str, body: bytes, r: random.Random) -> str:
        """What came of an input, in a word. Raises `Wrong`, or whatever the tool let out."""
        return self._judges[kind](body, r)

    def _plan(self, body: bytes, r: random.Random) -> str:
        if r.random() < 0.3:
            _both_ways(body, "week1.yaml")
        found = plan.read(body, "week1.yaml")
        findings = list(found.findings)
        if found.partial is not None:
            findings += plan.check(found.partial, LAB)
        in_range(findings, body, "week1.yaml")
        if findings:
            return "plan refused"
        week = found.plan()
        again = plan.WeekPlan.from_document(json.loads(json.dumps(week.document())))
        if again != week or plan.digest(again, {}, {}) != plan.digest(week, {}, {}):
            raise Wrong("the plan that the journal keeps is not the plan that was read")
        return "plan read"

    def _environment_file(self, body: bytes, r: random.Random) -> str:
        name = document.shown(self._environment)
        if r.random() < 0.3:
            _both_ways(body, name)
        self._environment.write_bytes(body)
        files = LocalFiles()
        looked = config.inspect(self._environment, files, ENVIRON, offline=r.random() < 0.3)
        in_range(looked.findings, body, name)
        if looked.environment is not None:
            json.dumps(looked.environment.digest_view())
        try:
            environment = config.load(self._environment, files, ENVIRON)
        except InvalidInput as refused:
            in_range(refused.findings, body, name)
            if not refused.findings:
                raise Wrong("refused without a finding") from refused
            return "environment refused"
        except UsageError:
            return "environment to be named"
        if looked.environment is None and not looked.findings:
            raise Wrong("read by a run, but not by validate")
        json.dumps(environment.digest_view())
        return "environment read"

    def _flag_file(self, body: bytes, r: random.Random) -> str:
        self._flags.write_bytes(body)
        flag, value = r.choice(FLAGS), r.choice(("true", "false", "on", None))
        asked: dict[str, str | None] = {flag: value}
        try:
            before = self._store.read()
            self._store.findings(dict.fromkeys(FLAGS, True))
            self._store.preview(asked)
            after = self._store.write(asked, expected=before.digest)
        except (InvalidSetup, StepFailed) as refused:
            if self._flags.read_bytes() != body:
                raise Wrong("refused, and changed all the same") from refused
            return "flag file refused"
        if value is not None and after.values.get(flag) != value:
            raise Wrong(f"{flag} was to be {value!r}, and is read as {after.values.get(flag)!r}")
        if any(before.values.get(other) != after.values.get(other) for other in set(FLAGS) - {flag}):
            raise Wrong("a flag changed that nobody asked for")
        only_asked(body, self._flags.read_bytes(), flag, value)
        return "flag file changed"

    def _dotenv(self, body: bytes, r: random.Random) -> str:
        text = body.decode()
        self._flags.write_bytes(body)
        try:
            own = DotenvFlagStore(self._flags).read().values
        except InvalidSetup:
            if "\0" not in text:
                raise
            return "dotenv refused: a NUL byte"
        return f"dotenv {compare(self._flags, text, own)}"

    def _answer(self, body: bytes, r: random.Random) -> str:
        health = json.dumps(HEALTH).encode()
        status = json.dumps(STATUS).encode()
        answers = {"/health": health, "/routing-status": status}
        answers[r.choice(("/health", "/routing-status", "/routing-status"))] = body
        gateway = HttpGateway(Canned(answers), instances=[], names={"A": "storage", "B": "rag"})
        try:
            flags = gateway.flags(timeout=1.0)
        except Unreachable as refused:
            if not str(refused).isprintable():
                raise Wrong(f"an answer brought {str(refused)!r} into a message") from refused
            return "answer refused"
        for text in (flags.identity, flags.version):
            if not text.isprintable():
                raise Wrong(f"an answer brought {text!r} in")
        json.dumps(dict(flags.health)).encode()
        for name, key in (("A", "storage"), ("B", "rag")):
            _as_said(flags.readings[name].effective, key, answers["/routing-status"])
        return "answer read"


class Canned:
    """An `Http` that answers with these bodies."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self._bodies = bodies

    def url(self, target: str) -> str:
        return "http://gateway"

    def request(
        self,
        target: str,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        json: object = None,
        timeout: float,
    ) -> Answer:
        return Answer(200, (), self._bodies[path], 0.001)

    def ask_all(self, asked: Sequence[tuple[str, str]], *, timeout: float) -> list[Answer | Unreachable]:
        return [self.request(target, path, timeout=timeout) for target, path in asked]


def _as_said(effective: bool | None, key: str, body: bytes) -> None:
    """A flag is on or off only where the answer's text says so, twice."""
    if effective is None:
        return
    word = b"true" if effective else b"false"
    text = body if b"\\u" not in body else json.dumps(json.loads(body)).encode()
    encoded = text if b"\0" not in text else text.replace(b"\0", b"")
    if encoded.count(word) < 2 or key.encode() not in encoded:
        raise Wrong(f"{key} is taken for {effective}, which the answer does not say")


def in_range(findings: Sequence[Finding], body: bytes, file: str) -> None:
    """Every finding has a place inside of the file, and words that can be shown.

    Raises:
        Wrong: one has not.
    """
    if not findings:
        return
    lines = _BREAK.split(body.decode("utf-8-sig", "replace"))
    for finding in findings:
        if finding.file != file or not finding.message:
            raise Wrong(f"a finding of {finding.file!r} says {finding.message!r}")
        # The end of a file that does not end its last line is a place too.
        if not 1 <= finding.line <= len(lines) + 1:
            raise Wrong(f"line {finding.line} of {len(lines)}: {finding}")
        width = len(lines[finding.line - 1]) if finding.line <= len(lines) else 0
        if not 1 <= finding.column <= width + 1:
            raise Wrong(f"column {finding.column} of {width}: {finding}")
        if any(unicodedata.category(character) in _STEERING for character in str(finding)):
            raise Wrong(f"a finding that cannot be shown: {finding!r}")


def _both_ways(body: bytes, file: str) -> None:
    """The short way of reading and the long one must not differ."""
    found, findings = document.inspect(body, file)
    if found is None or findings:
        return
    found.places.value(())
    builder = Builder(file)
    builder.build(body.decode("utf-8-sig"))
    if builder.findings or builder.root is None or repr(builder.root[0]) != repr(found.value):
        raise Wrong("the short way of reading and the long one differ")


def only_asked(before: bytes, after: bytes, flag: str, value: str | None) -> None:
    """Nothing changed but the line of this flag: every byte before it and behind it is what it was.

    Raises:
        Wrong: another byte changed, too.
    """
    text = before.decode()
    line = FlagText(text, nested_prefix="FEATURE_FLAGS__").declared.get(flag)
    if line is None:
        added = after.removeprefix(before)
        own = b"" if value is None else f"{flag}={value}".encode()
        if not after.startswith(before) or added.strip(b"\r\n") != own or len(added) > len(own) + 2:
            raise Wrong(f"{flag} was not there, and what was added is {added!r}")
        return
    head, tail = text[: line.start].encode(), text[line.end :].encode()
    if value is not None:
        if not (after.startswith(head) and after.endswith(tail) and len(after) > len(head) + len(tail)):
            raise Wrong(f"more than the line of {flag} changed")
        return
    own_break = re.match(rb"\r\n|\n|\r|", tail)
    gone = own_break.group() if own_break else b""
    left = {head + tail.removeprefix(gone)} if gone else {head + tail, *_without_last_break(head)}
    if after not in left:
        raise Wrong(f"more than the line of {flag} was taken out")


def _without_last_break(head: bytes) -> set[bytes]:
    return {head.removesuffix(each) for each in (b"\r\n", b"\n", b"\r")}
