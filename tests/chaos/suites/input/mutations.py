"""Bad input by the thousand: what is right is bent, cut, doubled, spliced, and written in ways that YAML allows.

Everything here is made from a `random.Random`, so that a seed makes an input again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

LARGEST = 1_200_000
"""Bytes: a little more than a file may have."""

WORDS: tuple[bytes, ...] = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        *("null", "~", "true", "True", "yes", "No", "on", "OFF", "y", "n", "NO", "false"),
        *(
            "0",
            "-1",
            "0777",
            "0o17",
            "0x1F",
            "0b11",
            "1_000",
            "1e3",
            "1e999",
            "-.5",
            "+",
            ".inf",
            "-.INF",
            ".nan",
        ),
        *(
            "9" * 70,
            "9" * 20,
            "1:30",
            "190:20:30",
            "2026-01-01",
            "2001-12-14t21:59:43.10-05:00",
            "1.2.3",
            "=",
        ),
        *(
            '""',
            "''",
            '"\\0"',
            '"\\e[31m"',
            '"\\ud800"',
            '"\\x"',
            '"\\u202e"',
            "'",
            '"',
            "|",
            ">-",
            "|9",
            ">+1 ",
        ),
        *(
            "!!python/object/apply:os.system [id]",
            "!!python/name:os.system ",
            "!!binary aGk=",
            "!!int x",
            "!!str 1",
        ),
        *(
            "!!set {a}",
            "!!omap []",
            "!!null ''",
            "!local x",
            "!<tag:yaml.org,2002:str> x",
            "!",
            "!!timestamp 1",
        ),
        *(
            "&a",
            "*a",
            "&a *a",
            "*",
            "&",
            "<<: *a",
            "<<",
            "? a",
            "? [a]",
            "? {a: b}",
            "- ",
            "-",
            ": ",
            ":",
            ",",
            "#",
        ),
        *(
            "[]",
            "{}",
            "[[]]",
            "[{}]",
            "{a: {}}",
            "{a: b}",
            "[1, x, null]",
            "[",
            "]",
            "{",
            "}",
            "---",
            "...",
            "%YAML 1.1",
        ),
        *(
            "%TAG ! tag:x,2000:",
            "--- a",
            "@x",
            "`x",
            "%x",
            "\t",
            " \t",
            "  ",
            "\r",
            "\x0b",
            "\x85",
            "\u2028",
            "\ufeff",
        ),
        *("\x00", "\x07", "\x1b[2J", "\x7f", "\u202e", "\ud800", "\U0001f600", "é", "\uffff", "\ufffe"),
        *("${HOME}", "${NOWHERE}", "${NOWHERE:-x}", "${", "$$", "${}", "${A:-${B}}", "$", "${SOME_TOKEN}"),
        *(
            "file:/etc/hostname",
            "file:",
            "file:/dev/zero",
            "file:/dev/null",
            "file:/",
            '"file:a\\0b"',
            "file:secret",
        ),
        *(
            "http://[::1",
            "http://a:99999",
            "http://a:b",
            "http://",
            "ftp://a",
            "//a",
            "http://\u212a",
            "http://u:p@h/?#",
        ),
        *(
            "/",
            "//",
            "/a b",
            "../..",
            "/api/../x",
            '"/\\0"',
            "/api/storage",
            "storage",
            "monolith",
            "gateway",
            "main",
        ),
        *("30s", "1h30m", "0s", "99999999999d", "0.0000001ms", "-5s", "5", "1e5s", "\u0661s", "10h" * 50),
        *(
            "postgresql://",
            "postgres://u:p@[x",
            "host=a",
            "password='x",
            "week1",
            "Week1",
            "x" * 300,
            "a-",
            "-a",
            "week01",
        ),
        *(
            "USE_STORAGE_SERVICE",
            "use_storage_service",
            "FEATURE_FLAGS__USE_RAG_SERVICE",
            "FEATURE_FLAGS",
            "export ",
        ),
        *(
            "id",
            "set",
            "flags",
            "http",
            "route",
            "command",
            "parallel",
            "steps",
            "expect",
            "writes",
            "needs",
            "retry",
        ),
        *(
            "services",
            "environments",
            "instances",
            "names",
            "reload",
            "strategy",
            "proxy",
            "start",
            "identity",
            "version",
        ),
    )
)

ROOM = 16 * 1024**2
"""Bytes of the file in which the present input lies, its length before it."""

_LARGE = 100_000

_TOKEN = re.compile(rb"[A-Za-z0-9_./\x80-\xff-]+|[ \t]+|\r?\n|.", re.DOTALL)


def _laughs(depth: int, wide: int) -> bytes:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, depth)]
    return "\n".join(lines).encode() + b"\n"


def _merges(depth: int) -> bytes:
    lines = ["m0: &m0 {k: v}"]
    lines += [f"m{n}: &m{n}\n  <<: [*m{n - 1}, *m{n - 1}]\n  k{n}: v" for n in range(1, depth)]
    return "\n".join(lines).encode() + b"\n"


BOMBS: tuple[Callable[[random.Random], bytes], ...] = (
    lambda r: _laughs(r.randrange(2, 30), r.randrange(1, 12)),
    lambda r: _merges(r.randrange(2, 60)),
    lambda r: b"deep: " + b"[" * r.choice((60, 65, 900, 50_000)),
    lambda r: b"deep: " + b"{a: " * r.choice((60, 65, 900, 20_000)),
    lambda r: b"".join(b" " * n + b"k:\n" for n in range(r.choice((60, 70, 600)))),
    lambda r: b"- " * r.choice((60, 70, 2_000)) + b"x\n",
    lambda r: b"? " * r.choice((5, 70, 2_000)) + b"x\n",
    lambda r: b"big: " + b"x" * r.choice((10_000, 1_100_000)) + b"\n",
    lambda r: b'big: "' + b"\\n" * r.choice((5_000, 200_000)) + b'"\n',
    lambda r: b"big: |\n" + b"  line\n" * r.choice((1_000, 50_000)),
    lambda r: b"number: " + b"9" * r.choice((63, 64, 65, 5_000, 100_000)) + b"\n",
    lambda r: b"number: 1." + b"0" * r.choice((60, 70, 50_000)) + b"\n",
    lambda r: b"".join(b"k%d: v\n" % n for n in range(r.choice((100, 1_000, 8_000)))),
    lambda r: b"steps:\n" + b"  - x\n" * r.choice((100, 1_000, 8_000)),
    lambda r: b"steps:\n" + b"  - {zebra: 1}\n" * r.choice((10, 300, 2_000)),
    lambda r: b"steps:\n" + b"  - {id: a, http: {target: b, path: /, expect: {status: [x, y]}}}\n" * r.choice((10, 500)),
    lambda r: b"steps:\n  - {id: a, http: {target: b, path: /, expect: {status: [" + b"x," * r.choice((99, 9_000)) + b"]}}}\n",
    lambda r: b"same: 1\n" * r.choice((2, 50, 5_000)),
    lambda r: b"a: &x 1\n" * r.choice((2, 50)) + b"b: *x\n",
    lambda r: b"&a a: *a\n",
    lambda r: b"!!python/name:os.system a: 1\n",
    lambda r: b"--- x\n" * r.choice((2, 1_000)),
    lambda r: b"#" * r.choice((100, 100_000)) + b"\n",
    lambda r: b"\n" * r.choice((100, 100_000)) + b"x: [",
    lambda r: b"a:\n" + b"\t" * r.choice((1, 1_000)) + b"b: c\n",
)  # fmt: skip
"""What YAML is known to be abused with."""


def _place(r: random.Random, body: bytes) -> int:
    return r.randrange(len(body) + 1)


def _span(r: random.Random, body: bytes) -> tuple[int, int]:
    start = _place(r, body)
    return start, min(len(body), start + r.choice((1, 2, 4, 16, 64, 400)))


def _flip(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(body)
    for _n in range(r.choice((1, 1, 2, 5))):
        if changed:
            changed[r.randrange(len(changed))] ^= 1 << r.randrange(8)
    return bytes(changed)


def _byte(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(r, body)
    return body[:at] + bytes([r.randrange(256)]) + body[at + r.randrange(2) :]


def _delete(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(r, body)
    return body[:start] + body[end:]


def _double(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(r, body)
    return body[:end] + body[start:end] * r.choice((1, 1, 2, 30)) + body[end:]


def _cut(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    return body[: _place(r, body)]


def _insert(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(r, body)
    return body[:at] + r.choice(WORDS) + body[at:]


def _splice(r: random.Random, body: bytes, corpus: Sequence[bytes]) -> bytes:
    other = r.choice(corpus)
    return body[: _place(r, body)] + other[_place(r, other) :]


def _token(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    tokens = _TOKEN.findall(body)
    if not tokens:
        return r.choice(WORDS)
    for _n in range(r.choice((1, 1, 1, 2, 4))):
        at = r.randrange(len(tokens))
        match r.randrange(4):
            case 0:
                other = r.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 1:
                tokens[at] = tokens[r.randrange(len(tokens))]
            case 2:
                tokens[at] = b""
            case _:
                tokens[at] = r.choice(WORDS)
    return b"".join(tokens)


def _value(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """What stands behind a key or in a list becomes something else: still YAML, most of the time."""
    ends = [match.end() for match in re.finditer(rb"[:=,\[] ?(?=\S)|- ", body)]
    if not ends:
        return body
    at = r.choice(ends)
    rest = re.match(rb"[^\n,}\]]*", body[at:])
    return body[:at] + r.choice(WORDS) + body[at + (rest.end() if rest else 0) :]


def _line(r: random.Random, body: bytes, corpus: Sequence[bytes]) -> bytes:
    lines = body.splitlines(keepends=True)
    if not lines:
        return body
    at, other = r.randrange(len(lines)), r.randrange(len(lines))
    match r.randrange(7):
        case 0:
            lines[at], lines[other] = lines[other], lines[at]
        case 1:
            lines.insert(at, lines[other])
        case 2:
            del lines[at]
        case 3:
            lines[at] = b" " * r.randrange(1, 9) + lines[at]
        case 4:
            lines[at] = lines[at].lstrip()
        case 5:
            lines[at] = b"\t" + lines[at]
        case _:
            foreign = r.choice(corpus).splitlines(keepends=True)
            lines[at:at] = foreign[: r.randrange(1, 12)]
    return b"".join(lines)


def _many(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    lines = body.splitlines(keepends=True)
    if not lines:
        return body
    at = r.randrange(len(lines))
    block, times = b"".join(lines[at : at + r.randrange(1, 6)]), r.choice((5, 50, 300))
    return b"".join([*lines[:at], block[: LARGEST // times] * times, *lines[at:]])


def _bomb(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    bomb = r.choice(BOMBS)(r)
    return r.choice((bomb, body + b"\n" + bomb, bomb + body))


def _encoding(r: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    text = body.decode("utf-8", "replace")
    match r.randrange(7):
        case 0:
            return text.encode(r.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7")))
        case 1:
            return text.encode("latin-1", "replace")
        case 2:
            return text.encode("cp037", "replace")
        case 3:
            return body.replace(b"\n", b"\r\n")
        case 4:
            return body.replace(b"\n", b"\r")
        case 5:
            return body.replace(b"\n", "\u2028".encode())
        case _:
            return body.replace(b" ", "\u00a0".encode(), r.randrange(1, 9))


_WAYS: tuple[tuple[int, Callable[[random.Random, bytes, Sequence[bytes]], bytes]], ...] = (
    (10, _flip),
    (8, _byte),
    (10, _delete),
    (10, _double),
    (6, _cut),
    (14, _insert),
    (8, _splice),
    (20, _token),
    (20, _value),
    (14, _line),
    (1, _many),
    (1, _bomb),
    (5, _encoding),
)
_MUTATIONS = [way for _, way in _WAYS]
_WEIGHTS = [weight for weight, _ in _WAYS]


def bent(r: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One input: something of the corpus, bent once or several times; at most ``LARGEST`` bytes, but for one in 4,000."""
    if r.randrange(4_000) == 0:
        return b"big: " + b"x" * 10_000_000
    body = r.choice(corpus)
    for mutation in r.choices(_MUTATIONS, _WEIGHTS, k=r.choice((1, 1, 1, 2, 3, 6))):
        body = mutation(r, body, corpus)[:LARGEST]
        if len(body) > _LARGE:  # to bend it further would take more memory than to meet it may
            break
    return body
