"""Cutting SQL into statements, as far as that takes: quotes, comments, dollar quotes, bodies of functions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracseq_migrate.frozen import frozen

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
  | (?P<string>'(?:[^']|'')*(?:'|\Z))
  | (?P<name>"(?:[^"]|"")*(?:"|\Z))
  | (?P<dollar>\$(?:[A-Za-z_\x80-\uffff][\w]*)?\$)
  | (?P<word>[A-Za-z_\x80-\uffff][\w$]*)
  | (?P<space>\s+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@frozen
class Token:
    """A piece of the text. ``kind`` is comment, quoted, word, space or other; ``line`` counts from 1."""

    kind: str
    text: str
    line: int
    first: bool
    """Whether nothing but white space stands before it on its line."""
    open: bool = False
    """Whether it is a quote or comment that the text ends in the middle of."""


@frozen
class Statement:
    """One statement, without its semicolon, and the line on which it begins."""

    text: str
    line: int
    words: tuple[str, ...]
    """Its first words, in lower case."""


def tokens(text: str, line: int = 1) -> Iterator[Token]:
    """The text in pieces, none of which is lost."""
    at, first = 0, True
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # noqa: S101 - the last alternative takes any character
        kind, end, cut = str(match.lastgroup), match.end(), False
        if kind == "block":
            end, cut = _block_end(text, at)
            kind = "comment"
        elif kind == "dollar":
            close = text.find(match[0], end)
            end, cut = (len(text), True) if close < 0 else (close + len(match[0]), False)
            kind = "quoted"
        elif kind in ("escaped", "string", "name"):
            cut = end == len(text) and not _closed(match[0], kind)
            kind = "quoted"
        piece = text[at:end]
        yield Token(kind, piece, line, first, cut)
        line += piece.count("\n")
        if "\n" in piece:
            first = not piece.rpartition("\n")[2].strip()
        elif kind != "space":
            first = False
        at = end


def statements(text: str, line: int = 1) -> list[Statement]:
    """Cut at semicolons, but for those inside of quotes, comments and ``BEGIN ATOMIC … END``; empty ones are left out."""
    found: list[Statement] = []
    parts: list[Token] = []
    depth = 0
    for token in tokens(text, line):
        word = token.text.lower() if token.kind == "word" else ""
        if depth == 0 and token.kind == "other" and token.text == ";":
            found += _made(parts)
            parts = []
            continue
        parts.append(token)
        if depth or word == "begin":
            depth = _depth(depth, word, parts)
    return found + _made(parts)


def _depth(depth: int, word: str, parts: list[Token]) -> int:
    if word == "end":
        return depth - 1
    if word == "case" and depth:
        return depth + 1
    if word == "begin":
        words = [each.text.lower() for each in parts if each.kind == "word"]
        routine = words[0] == "create" and {"function", "procedure"} & set(words[:4])
        return depth + 1 if routine else depth
    return depth


def _made(parts: list[Token]) -> list[Statement]:
    while parts and parts[0].kind in ("space", "comment"):
        parts = parts[1:]
    if not any(each.kind not in ("space", "comment") for each in parts):
        return []
    words = tuple(each.text.lower() for each in parts if each.kind not in ("space", "comment"))[:6]
    return [Statement("".join(each.text for each in parts).strip(), parts[0].line, words)]


def _block_end(text: str, at: int) -> tuple[int, bool]:
    """Where a comment that may hold others ends, and whether it does not."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, at):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end(), False
    return len(text), True


def _closed(piece: str, kind: str) -> bool:
    if kind == "escaped":
        return re.fullmatch(r"[eE]'(?:[^'\\]|\\.|'')*'", piece, re.DOTALL) is not None
    quote = piece[0]
    inner = piece[1:-1] if len(piece) > 1 and piece.endswith(quote) else None
    return inner is not None and inner.replace(quote * 2, "").count(quote) == 0
