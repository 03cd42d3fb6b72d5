"""What can be told of a declared SQL expression by reading it: the columns that it names, and what it may not do."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<text>[eE]?'(?:[^'\\]|''|\\.)*')        # a literal; backslashes are skipped with what follows them
    | (?P<dollar>\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$)
    | (?P<column>\b(?P<alias>[ab])\s*\.\s*(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[A-Za-z_][A-Za-z0-9_$]*)))
    | (?P<name>"(?:[^"]|"")*")
    | (?P<comment>--|/\*)
    | (?P<parameter>\$[0-9]+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    | (?P<number>[0-9][0-9A-Za-z_.]*)
    | (?P<mark>[()\[\];'"])
    """,
    re.VERBOSE | re.DOTALL,
)
_CHANGING = frozenset(
    "now current_timestamp current_date current_time localtime localtimestamp clock_timestamp statement_timestamp"
    " transaction_timestamp timeofday random random_normal gen_random_uuid uuidv4 uuidv7 uuid_generate_v4 uuid_generate_v1 nextval"
    " currval lastval setval txid_current pg_current_xact_id current_setting set_config current_user session_user user"
    " pg_backend_pid inet_client_addr age".split()
)
"""What gives another value another time, elsewhere or for somebody else. `age` does with one argument."""
_READING = frozenset({"select", "table", "values", "with"})
_PAIRS = {")": "(", "]": "["}


def columns_of(expression: str) -> dict[str, tuple[str, ...]]:
    """The columns behind the aliases ``a`` and ``b``, in order and each once. Unquoted names are in small letters."""
    found: dict[str, list[str]] = {"a": [], "b": []}
    for token in _TOKEN.finditer(expression):
        if token["column"]:
            name = token["quoted"].replace('""', '"') if token["quoted"] else token["plain"].lower()
            if name not in found[token["alias"]]:
                found[token["alias"]].append(name)
    return {alias: tuple(names) for alias, names in found.items()}


def complaints(expression: str, *, aliases: str = "", steady: bool = True) -> Iterator[tuple[str, str]]:
    """What an expression may not be: sentence and remedy.

    Args:
        aliases: the rows that it may read, of ``a`` and ``b``.
        steady: whether it must give the same value whenever and wherever it is evaluated.
    """
    open_: list[str] = []
    end = 0
    for token in _TOKEN.finditer(expression):
        between = expression[end : token.start()]
        end = token.end()
        if between.strip("\0 \t\r\n") and "\\" in between:
            yield "a backslash stands outside of a text", "put it into a text, or take it out"
        kind, text = str(token.lastgroup), token.group()
        if token["comment"]:
            yield "a comment stands in an expression", "put it into the file's own comments"
            return
        if token["parameter"]:
            yield f"{text} is a parameter, and an expression has none", "write the value out"
        elif token["column"] and token["alias"] not in aliases:
            allowed = " and ".join(aliases) or "no row"
            yield f"{text} is of a row that is not there: this expression reads {allowed}", ""
        elif kind == "word" and text.lower() in _READING and not expression[end:].lstrip().startswith("."):
            yield (
                f"{text.upper()} reads other rows than its own: when they change, nobody would tell this one",
                "read the row's own columns only, or carry the other table by an entry of its own",
            )
        elif kind == "word" and steady and text.lower() in _CHANGING and not _steady(text, expression[end:]):
            yield (
                f"{text} gives another value each time, so that the two sides would never be equal",
                "derive the value from the row",
            )
        elif kind == "mark":
            if text == ";":
                yield "a semicolon ends a statement, and an expression is none", "take it out"
                return
            if text in "([":
                open_.append(text)
            elif text in ")]":
                if not open_ or open_.pop() != _PAIRS[text]:
                    yield f"a {text} closes what was never opened", "mend the brackets"
                    return
            else:
                yield f"a {text} is opened and never closed", "close it; inside of a text it is doubled"
                return
    if open_:
        yield f"a {open_[-1]} is opened and never closed", "mend the brackets"
    if not expression.strip():
        yield "the expression is empty", ""


def _steady(word: str, rest: str) -> bool:
    """Whether a word that can be one of the changing functions is none here: `age` with two arguments, or a column's name."""
    if word.lower() == "age":
        depth = 0
        for mark in rest.lstrip():
            depth += (mark == "(") - (mark == ")")
            if depth == 1 and mark == ",":
                return True
            if depth <= 0:
                return False
        return False
    if word.lower() in ("user", "current_user", "session_user", "current_date", "current_time", "current_timestamp",
                        "localtime", "localtimestamp"):  # fmt: skip
        return False
    return not rest.lstrip().startswith("(")
