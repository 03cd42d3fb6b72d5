"""The file of the log: only our own last render may be overwritten; anything else is kept aside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from tracseq_migrate.frozen import frozen
from tracseq_migrate.journal.chain import GENESIS
from tracseq_migrate.ports import Files

_FOOTER = re.compile(
    r"<!-- tracseq-migrate: journal event (\d{1,15})(?: of (\S+))?, head ([0-9a-f]{64}), sha256 ([0-9a-f]{64}) -->\n"
)


@frozen
class Footer:
    """Of which journal a text is an untouched render: its last event, that event's hash, and the environment.

    ``environment`` is empty in logs of the first version, and where its name has white space in it.
    """

    seq: int
    head: str
    environment: str = ""


@frozen
class Written:
    """``kept_aside`` is where a file that was not our last render went; ``changed`` is false where nothing was to do."""

    changed: bool
    kept_aside: Path | None = None


def footer_line(seq: int, head: str, above: bytes, environment: str = "") -> str:
    """The last line of a render; its digest is over everything ``above`` it and the environment's name."""
    named = environment if re.fullmatch(r"[\w.-]+", environment, re.ASCII) else ""
    of = f" of {named}" if named else ""
    return f"<!-- tracseq-migrate: journal event {seq}{of}, head {head}, sha256 {_digest(above, named)} -->\n"


def _digest(above: bytes, environment: str) -> str:
    return hashlib.sha256(above + environment.encode()).hexdigest()


def recognise(body: bytes) -> Footer | None:
    """The footer of a render that nobody touched; None for any other bytes."""
    above, newline, last = body.removesuffix(b"\n").rpartition(b"\n")
    try:
        match = _FOOTER.fullmatch(last.decode("ascii") + "\n")
    except UnicodeDecodeError:
        return None
    if match is None or not body.endswith(b"\n"):
        return None
    environment = match[2] or ""
    if _digest(above + newline, environment) != match[4]:
        return None
    return Footer(int(match[1]), match[3], environment)


def write_log(files: Files, path: Path, text: str, *, known_heads: Callable[[int], str | None]) -> Written:
    """Write a render to its file.

    Overwritten is only what is an untouched render of an earlier state of this same journal. A newer render of it stays: two
    commands may end at once, and the later one knows more. Everything else (edited by hand, of another journal, not a log
    at all) is renamed to a free name beside it first.

    Args:
        files: where it is written.
        path: the log.
        text: what `render` gave.
        known_heads: event number -> its hash in this journal, None where it has no such event.

    Raises:
        OSError: it could not be read, renamed or written; the old file is whole, here or aside.
    """
    body = text.encode()
    try:
        there = files.read(path)
    except FileNotFoundError:
        there = None
    if there == body:
        return Written(changed=False)
    kept = None
    if there:
        footer = recognise(there)
        if footer is None or not _ours(footer, known_heads):
            kept = files.keep_aside(path)
        else:
            mine = recognise(body)
            if mine is not None and footer.seq > mine.seq:
                return Written(changed=False)
    files.write(path, body)
    return Written(changed=True, kept_aside=kept)


def _ours(footer: Footer, known_heads: Callable[[int], str | None]) -> bool:
    if footer.seq == 0:
        return footer.head == GENESIS
    return known_heads(footer.seq) == footer.head
