"""Secrets that sing: values that occur nowhere else, and a look into everything that was written for any of them.

In another suite: put `VARIABLES` (or secrets of its own, from `CANARIES`) where the tool finds secrets, let it do its work, and
then say ``assert_clean(folder, [output, ...])``. What holds the secrets on purpose, the files that they are read from, is named
in ``except_``.
"""

from __future__ import annotations

import base64
import html
import json
import os
import shlex
import subprocess
import threading
import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

CANARIES: Mapping[str, str] = {
    "variable": "Zq7-canary-of-a-variable-7qZvu",
    "pgpassword": "Wb4-canary-of-PGPASSWORD-4bWpw",
    "dsn": "Xk2/canary+of a dsn%é",
    "words": "Ty9 canary 'of' \\words",
    "url": "Rm5@canary:of#a?url",
    "token": "Gd8canaryOfATokenInAUrl",
    "prefix": "Hn3-canary",
    "longer": "Hn3-canary-that-goes-on-3nHxx",
    "regex": r"Fv6.*canary+(of)[a]{regex}^$|?",
    "key": "-----BEGIN KEY-----\nPj1CanaryInTheFirstLine01jPq5kR7\nLs0CanaryInTheSecondLine98sLw2mT4\n-----END KEY-----",
}
"""Each of another shape: plain, of a connection string in both ways of writing one, of URLs, beginning like another, ..."""

VARIABLES: Mapping[str, str] = {
    "CANARY_TOKEN": CANARIES["variable"],
    "PGPASSWORD": CANARIES["pgpassword"],
}
"""Variables for a call of the tool: an environment file that has ``${CANARY_TOKEN}`` somewhere takes a secret from the first."""

_TELLING = 8
"""So many characters from the beginning or the end of a canary give it away."""


@cache
def traces(secret: str) -> frozenset[bytes]:
    """What a secret looks like wherever something has written it, its beginning and its end among them."""
    found: set[str] = set()
    for part in {secret, *(line for line in secret.splitlines() if len(line) > 16)}:
        found |= {part, part[:_TELLING], part[-_TELLING:]} - {"-----BEG", "KEY-----"}
        found |= {urllib.parse.quote(part), urllib.parse.quote(part, safe=""), urllib.parse.quote_plus(part)}
        found |= {json.dumps(part)[1:-1], json.dumps(json.dumps(part))[3:-3], repr(part)[1:-1]}
        found |= {
            shlex.quote(part).strip("'"),
            html.escape(part),
            part.encode().hex(),
            " ".join(part.split()),
        }
        for before in range(3):
            # Only whole letters of it: those at the edges hold bits of the neighbours.
            letters = base64.b64encode(b"." * before + part.encode()).decode().rstrip("=")
            inner = letters[4 if before else 0 : -2]
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    whole = found - {"-----BEGIN KEY-----", "-----END KEY-----"}
    return frozenset(text.encode() for text in whole if len(text) >= _TELLING)


def found_in(body: bytes, secrets: Iterable[str] = CANARIES.values()) -> list[bytes]:
    """The traces of secrets in some bytes."""
    return [trace for secret in secrets for trace in sorted(traces(secret)) if trace in body]


def assert_clean(
    folder: Path | None,
    outputs: Iterable[str | bytes] = (),
    *,
    secrets: Iterable[str] = CANARIES.values(),
    except_: Collection[Path] = (),
) -> int:
    """No trace of a secret in the raw bytes of any file below a folder, in its names, in git's objects there, or in an output.

    Returns:
        How many files and outputs were looked through.

    Raises:
        AssertionError: naming the file, and what was found around it.
    """
    wanted = [(secret, trace) for secret in secrets for trace in traces(secret)]
    looked = 0
    for name, body in _everything(folder, outputs, frozenset(except_)):
        looked += 1
        for secret, trace in wanted:
            at = body.find(trace)
            assert at < 0, f"{name} holds {trace!r} of {secret!r}: {body[max(0, at - 200) : at + 200]!r}"
    return looked


def _everything(
    folder: Path | None, outputs: Iterable[str | bytes], left_out: frozenset[Path]
) -> Iterator[tuple[str, bytes]]:
    for number, output in enumerate(outputs):
        yield f"output {number}", output if isinstance(output, bytes) else output.encode(errors="replace")
    for path in sorted(folder.rglob("*")) if folder is not None else ():
        if path in left_out or left_out & set(path.parents):
            continue
        yield f"the name of {path}", os.fsencode(path.name)
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()
        if path.name == ".git":
            yield f"the objects of {path}", _objects(path)


def _objects(git: Path) -> bytes:
    """Everything that git keeps, uncompressed."""
    done = subprocess.run(
        ["git", f"--git-dir={git}", "cat-file", "--batch", "--batch-all-objects"],
        capture_output=True,
        check=True,
    )
    return done.stdout


@dataclass
class Watched:
    """What was seen of processes: argument lists of all of them, and the environments of those that a process started."""

    samples: int = 0
    arguments: set[bytes] = field(default_factory=set)
    environments: dict[bytes, bytes] = field(default_factory=dict)
    """By argument list."""


@contextmanager
def watching_processes(begun_by: str) -> Iterator[Watched]:
    """Look at the processes of this machine all the while.

    Args:
        begun_by: a word in the environment of the tool, by which its children are known, and which it does not keep from them.
    """
    watched, over = Watched(), threading.Event()

    def look() -> None:
        while not over.is_set():
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    _look_at(process, begun_by.encode(), watched)
            watched.samples += 1
            over.wait(0.01)

    thread = threading.Thread(target=look, name="processes")
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()


def _look_at(process: Path, begun_by: bytes, watched: Watched) -> None:
    try:
        arguments = (process / "cmdline").read_bytes()
        environment = (process / "environ").read_bytes()
    except OSError:  # it is gone, or another user's
        return
    watched.arguments.add(arguments)
    if begun_by in environment:
        watched.environments[arguments] = environment
