"""The text of a flag file: which line declares a flag, and the text with only that value changed. Pure.

Which line wins follows the gateway: python-dotenv reads the file into a mapping (the last line of one
spelling counts), then letter case is dropped (the spelling that came up last counts), then a nested name
wins over the plain one.
"""

from __future__ import annotations

import difflib
import io
import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property

from dotenv.parser import parse_stream

from tracseq_migrate.frozen import frozen

# What pydantic reads as a boolean, without regard to case. Padding is not forgiven.
TRUE_WORDS = frozenset({"true", "1", "yes", "on", "t", "y"})
FALSE_WORDS = frozenset({"false", "0", "no", "off", "f", "n"})

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_BLANK = re.compile(r"\s*")
_UP_TO_VALUE = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=")
_GAP = re.compile(r"[^\S\r\n]*")
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_COMMENT = re.compile(r"\s+#.*", re.DOTALL)
_BARE = re.compile(r"[^\s'\"#$\\=]+")


def folded(name: str) -> str:
    """A name without its letter case, in capitals as flags are. The gateway compares small letters, and not every capital has
    one small letter: USE_\u017fTORAGE is another name than USE_STORAGE, though their capitals are the same."""
    small = name.lower()
    return small.upper() if small.isascii() else small


class EditError(ValueError):
    """The text cannot be changed as asked without changing something else too."""


@frozen
class Line:
    """A binding, a comment or something unreadable: ``text[start:end]``, without the line break behind it.

    ``key`` is None for comments and for what cannot be read (``error``); ``value`` is None for a name without
    ``=``.
    """

    key: str | None
    value: str | None
    error: bool
    start: int
    end: int
    number: int
    own: str

    @property
    def content(self) -> tuple[str | None, str | None, bool, str]:
        return self.key, self.value, self.error, self.own


class FlagText:
    """One text, with its lines and the flags that it declares."""

    def __init__(self, text: str, *, nested_prefix: str) -> None:
        self.text = text
        self._nested_prefix = nested_prefix

    @cached_property
    def lines(self) -> list[Line]:
        found: list[Line] = []
        # A byte order mark is no part of the first name; the findings tell of readers that take it for one.
        position = len(self.text) - len(self.text.removeprefix("\ufeff"))
        ends = [ending.end() for ending in _LINE_BREAK.finditer(self.text)]
        for binding in parse_stream(io.StringIO(self.text[position:], newline="")):
            whole = binding.original.string
            blank = _BLANK.match(whole)
            leading = blank.group() if blank else ""
            skipped = max((ending.end() for ending in _LINE_BREAK.finditer(leading)), default=0)
            own = whole[skipped:]
            for ending in ("\r\n", "\n", "\r"):
                if own.endswith(ending):
                    own = own[: -len(ending)]
                    break
            if own.strip():
                start = position + skipped
                # Line breaks inside of a quoted value reach the gateway as plain newlines.
                value = None if binding.value is None else _LINE_BREAK.sub("\n", binding.value)
                number = 1 + bisect_right(ends, start)
                end = start + len(own)
                found.append(Line(binding.key, value, binding.error, start, end, number, own))
            position += len(whole)
        return found

    @cached_property
    def declared(self) -> dict[str, Line]:
        """Flag, in capitals and without the nested prefix -> the line that wins."""
        by_spelling: dict[str, Line] = {}
        for line in self.lines:
            if line.key is not None:
                by_spelling[line.key] = line
        # A name without `=` declares nothing, and still takes the place of another spelling that came up before it.
        by_name = {
            name: line
            for name, line in {folded(key): line for key, line in by_spelling.items()}.items()
            if line.value is not None
        }
        nested = self._nested_prefix.upper()
        plain = {name: line for name, line in by_name.items() if not name.startswith(nested)}
        return plain | {
            name.removeprefix(nested): line for name, line in by_name.items() if name.startswith(nested)
        }

    def names(self, line: Line) -> str | None:
        """The flag that a line is about, in capitals and without the nested prefix."""
        return None if line.key is None else folded(line.key).removeprefix(self._nested_prefix.upper())

    def values(self) -> dict[str, str]:
        return {flag: line.value for flag, line in self.declared.items() if line.value is not None}

    def edited(self, entries: Mapping[str, str | None]) -> FlagText:
        """The same text with these flags changed and nothing else, which is proven before it returns.

        Args:
            entries: as `FlagStore.write` takes them.

        Raises:
            EditError: an entry is not one, or the text would change elsewhere too.
        """
        changed = self
        for flag, entry in entries.items():
            changed = changed._with(flag.upper(), entry)
        for flag, entry in entries.items():
            self._prove(changed, flag.upper(), entry)
        return changed

    def _with(self, flag: str, entry: str | None) -> FlagText:
        line = self.declared.get(flag)
        if entry is not None and "=" in entry:
            self._check_entry(flag, entry)
        elif entry is not None and not _BARE.fullmatch(entry):
            raise EditError(f"{entry!r} is no value for the flag {flag}")
        if line is None:
            text = (
                self.text if entry is None else self._appended(entry if "=" in entry else f"{flag}={entry}")
            )
        elif entry is None:
            text = self._without(line)
        else:
            own = entry if "=" in entry else _revalued(line.own, entry)
            text = self.text[: line.start] + own + self.text[line.end :]
        changed = FlagText(text, nested_prefix=self._nested_prefix)
        before = [other.content for other in self.lines if other is not line]
        after = [other.content for other in changed.lines]
        if entry is not None:
            place = self.lines.index(line) if line is not None else len(before)
            after = after[:place] + after[place + 1 :]
        if before != after:
            where = f"line {line.number}" if line is not None else "the end of the file"
            raise EditError(f"{flag} cannot be changed at {where} without changing other lines too")
        return changed

    def _prove(self, changed: FlagText, flag: str, entry: str | None) -> None:
        values = changed.values()
        if entry is None:
            return
        wanted = entry
        if "=" in entry:
            wanted = FlagText(entry, nested_prefix=self._nested_prefix).values()[flag]
        if values.get(flag) != wanted:
            raise EditError(f"{flag} would not be {wanted!r} after the change: another line of the file wins")

    def _check_entry(self, flag: str, entry: str) -> None:
        lines = FlagText(entry, nested_prefix=self._nested_prefix)
        whole = len(lines.lines) == 1 and lines.lines[0].own == entry
        if not whole or set(lines.values()) != {flag}:
            raise EditError(f"{entry!r} is no entry for the flag {flag}")

    @cached_property
    def _newline(self) -> str:
        windows = self.text.count("\r\n")
        return "\r\n" if windows > self.text.count("\n") - windows else "\n"

    def _appended(self, entry: str) -> str:
        if not self.text.removeprefix("\ufeff") or self.text.endswith(("\n", "\r")):
            return self.text + entry + self._newline
        return self.text + self._newline + entry

    def _without(self, line: Line) -> str:
        before, after = self.text[: line.start], self.text[line.end :]
        ending = _LINE_BREAK.match(after)
        if ending:
            return before + after[ending.end() :]
        for newline in ("\r\n", "\n", "\r"):
            # The last line of a file without a final newline: what goes is the break that set it apart.
            if before.endswith(newline):
                return before[: -len(newline)] + after
        return before + after


def _revalued(own: str, value: str) -> str:
    """The line with another value: name, spaces, quotes and comment stay."""
    head = _UP_TO_VALUE.match(own)
    gap = _GAP.match(own, head.end()) if head else None
    if head is None or gap is None:
        raise EditError(f"{own!r} cannot be read")
    rest = own[gap.end() :]
    if quoted := _QUOTED.match(rest):
        quote = rest[0]
        return own[: gap.end()] + quote + value + quote + rest[quoted.end() :]
    if gap.group() and rest.startswith("#"):
        return own[: gap.end()] + value + " " + rest
    token = _COMMENT.sub("", rest).rstrip()
    return own[: gap.end()] + value + rest[len(token) :]


def difference(before: FlagText, after: FlagText, location: str, flags: frozenset[str]) -> str:
    """A unified diff for people, in which the values of everything but the named flags are hidden."""
    lines = difflib.unified_diff(
        _shown(before, flags),
        _shown(after, flags),
        f"{location} (now)",
        f"{location} (then)",
        lineterm="",
        n=1,
    )
    return "".join(f"{line}\n" for line in lines)


def _shown(text: FlagText, flags: frozenset[str]) -> list[str]:
    pieces, position = [], 0
    for line in text.lines:
        own = line.own
        ours = text.names(line) in flags
        # A comment, or a line that cannot be read, may hold a secret as well as any value does.
        if not ours and (line.key is not None or line.error or "=" in own):
            head = _UP_TO_VALUE.match(own)
            own = (head.group() if head else "") + "…"
        pieces += [text.text[position : line.start], own]
        position = line.end
    pieces.append(text.text[position:])
    return _LINE_BREAK.split("".join(pieces).removeprefix("\ufeff"))
