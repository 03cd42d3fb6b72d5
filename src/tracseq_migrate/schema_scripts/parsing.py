"""Reading schema scripts: ``NNN-name.sql`` with the parts ``-- deploy``, ``-- verify`` and ``-- revert``. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from tracseq_migrate.errors import Finding
from tracseq_migrate.frozen import frozen
from tracseq_migrate.printable import one_line
from tracseq_migrate.schema_scripts.lexing import Statement, statements, tokens

_FILE = re.compile(r"\d{1,9}-[a-z0-9][a-z0-9_-]{0,80}\.sql")
_PART = re.compile(r"--\s*(deploy|verify|revert)\s*", re.IGNORECASE)
_REQUIRES = re.compile(r"--\s*requires:(?P<names>.*)", re.IGNORECASE)
_APART = re.compile(r"--\s*no-transaction\s*", re.IGNORECASE)
_PARTS = ("deploy", "verify", "revert")
_ENDING = {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"}


@frozen
class Script:
    """One script; ``name`` is its file's without the ending, and ``checksum`` covers every byte of it."""

    name: str
    file: str
    body: str
    checksum: str
    deploy: tuple[Statement, ...]
    verify: tuple[Statement, ...]
    revert: tuple[Statement, ...]
    requires: tuple[str, ...] = ()
    in_transaction: bool = True


def read_scripts(files: Mapping[str, tuple[str, str]]) -> tuple[tuple[Script, ...], list[Finding]]:
    """Scripts in the order in which they are deployed, and what is wrong with them.

    Args:
        files: by the file's own name (``001-users.sql``): its path for messages, and what stands in it.
    """
    scripts: list[Script] = []
    findings: list[Finding] = []
    for name, (file, body) in sorted(files.items()):
        if not _FILE.fullmatch(name):
            findings.append(
                Finding(
                    file,
                    1,
                    1,
                    "a script is called NNN-name.sql",
                    "for example 001-users.sql: a number, then small letters",
                )
            )
            continue
        script, wrong = _read(name.removesuffix(".sql"), file, body)
        scripts.append(script)
        findings += wrong
    ordered, wrong = _ordered(scripts)
    return ordered, findings + wrong


def checksum(body: str) -> str:
    """Of a script's whole text."""
    return hashlib.sha256(body.encode()).hexdigest()


def _read(name: str, file: str, body: str) -> tuple[Script, list[Finding]]:
    findings: list[Finding] = []
    texts: dict[str, list[str]] = {}
    begins: dict[str, int] = {}
    part, requires, apart = "", [], False
    for token in tokens(body):
        if token.open:
            findings.append(Finding(file, token.line, 1, "a quote or comment begins here and never ends"))
        if token.kind == "comment" and token.first:
            match = _PART.fullmatch(token.text)
            if match:
                part = match[1].lower()
                if part in begins:
                    findings.append(
                        Finding(
                            file, token.line, 1, f"a second part `-- {part}`", "a script has each part once"
                        )
                    )
                begins[part], texts[part] = token.line, []
                continue
            named = _REQUIRES.fullmatch(token.text)
            if named and not part:
                requires += [each.strip() for each in named["names"].split(",") if each.strip()]
            apart = apart or (not part and _APART.fullmatch(token.text) is not None)
        if part:
            texts[part].append(token.text)
        elif token.kind not in ("space", "comment"):
            findings.append(
                Finding(
                    file,
                    token.line,
                    1,
                    "a statement stands before the first part",
                    "begin with a line `-- deploy`",
                )
            )
            part = "deploy"
            begins[part], texts[part] = token.line, [token.text]
    parsed = {each: tuple(statements("".join(texts.get(each, ())), begins.get(each, 1))) for each in _PARTS}
    for each in _PARTS:
        if not parsed[each]:
            why = "is empty" if each in begins else "is missing"
            remedy = {
                "deploy": "it says what the script makes",
                "verify": "a query whose every answer must be true, for example SELECT to_regclass('users') IS NOT NULL",
                "revert": "it takes back what deploy made",
            }[each]
            findings.append(Finding(file, begins.get(each, 1), 1, f"the part `-- {each}` {why}", remedy))
    for each in _PARTS:
        findings += [
            Finding(file, statement.line, 1, unfit[0], unfit[1])
            for statement in parsed[each]
            if (unfit := _unfit(statement, in_transaction=not apart))
        ]
    script = Script(
        name,
        file,
        body,
        checksum(body),
        parsed["deploy"],
        parsed["verify"],
        parsed["revert"],
        tuple(dict.fromkeys(requires)),
        not apart,
    )
    return script, findings


def _unfit(statement: Statement, *, in_transaction: bool) -> tuple[str, str] | None:
    """What is wrong with a statement wherever it stands, and the remedy."""
    words = statement.words
    if words[0] == "\\":
        return "a command of psql's, which the server does not know", "write what it does as SQL"
    if words[0] == "copy" and re.search(r"(?i)\bfrom\s+stdin\b", statement.text):
        return "COPY … FROM STDIN has no data here", "write the rows with INSERT"
    if words[0] in _ENDING or words[:2] in (("prepare", "transaction"), ("commit", "prepared")):
        told = (
            "the tool begins and ends the transaction itself"
            if in_transaction
            else "it holds back what the registry must know"
        )
        return f"{one_line(words[0].upper())} in a script", f"take it out: {told}"
    if in_transaction and "concurrently" in words:
        return (
            "CONCURRENTLY does not run in a transaction",
            "say so with a line `-- no-transaction` before `-- deploy`",
        )
    return None


def _ordered(scripts: Sequence[Script]) -> tuple[tuple[Script, ...], list[Finding]]:
    """By number, but each behind what it requires."""
    known = {script.name: script for script in scripts}
    findings = [
        Finding(
            script.file,
            1,
            1,
            f"it requires {one_line(name)}, and there is no such script",
            f"there are: {', '.join(known) or 'none'}",
        )
        for script in scripts
        for name in script.requires
        if name not in known
    ]
    waiting = sorted(scripts, key=lambda each: (int(each.name.partition("-")[0]), each.name))
    done: list[Script] = []
    names: set[str] = set()
    while waiting:
        ready = next((each for each in waiting if not (set(each.requires) & set(known)) - names), None)
        if ready is None:
            circle = ", ".join(each.name for each in waiting)
            findings += [
                Finding(
                    each.file,
                    1,
                    1,
                    f"scripts require each other in a circle: {circle}",
                    "take one `-- requires:` out",
                )
                for each in waiting[:1]
            ]
            return (*done, *waiting), findings
        waiting.remove(ready)
        done.append(ready)
        names.add(ready.name)
    return tuple(done), findings
