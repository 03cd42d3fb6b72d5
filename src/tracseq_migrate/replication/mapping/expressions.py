"""What can be told of a declared SQL expression by reading it: the columns that it names, and what it may not do."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<text>\b[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*')
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
_WORDS = frozenset(
    {
        *("current_timestamp", "current_date", "current_time", "localtime", "localtimestamp"),
        *("user", "current_user", "session_user", "current_role", "current_catalog"),
    }
)
"""Those that need no parentheses."""
_CHANGING = _WORDS | {
    *("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "age"),
    *(
        "random",
        "random_normal",
        "gen_random_uuid",
        "uuidv4",
        "uuidv7",
        "uuid_generate_v4",
        "uuid_generate_v1",
    ),
    *("nextval", "currval", "lastval", "setval", "txid_current", "pg_current_xact_id"),
    *("current_setting", "set_config", "pg_backend_pid", "inet_client_addr"),
}
"""What gives another value another time, elsewhere or for somebody else. `age` does with one argument."""
_READING = frozenset({"select", "table"})
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
    for token in _TOKEN.finditer(expression):
        end = token.end()
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
    return word.lower() not in _WORDS and not rest.lstrip().startswith("(")


_CALL = re.compile(
    r"""(?:(?:"(?P<q>[^"]+)"|\b(?P<s>[A-Za-z_][A-Za-z0-9_$]*))\s*\.\s*)?\b(?P<f>[A-Za-z_][A-Za-z0-9_$]*)\s*\("""
)


def functions_of(expression: str) -> list[tuple[str, str]]:
    """What looks like a call: schema (empty where there is none) and name, each once."""
    bare = "".join(
        " " if token["text"] or token["dollar"] else token.group() for token in _pieces(expression)
    )
    found = {
        ((call["q"] or call["s"] or "").lower(), call["f"].lower()): None for call in _CALL.finditer(bare)
    }
    return [each for each in found if each[0] not in ("a", "b")]


def _pieces(expression: str) -> Iterator[re.Match[str]]:
    """The expression in pieces, what is no token among them."""
    return re.finditer(_TOKEN.pattern + r"| (?P<other>.)", expression, _TOKEN.flags)
