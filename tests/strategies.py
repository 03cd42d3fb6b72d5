"""What hypothesis makes of the tool's input: plans, environment files, flag files and gateway answers.

Valid ones are valid by construction; near-valid ones are those with one thing bent. `spelled` writes any of them as YAML, each
time in another way that means the same.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from hypothesis import strategies as st

from tracseq_migrate import duration
from tracseq_migrate.config import TRACSEQ_ROUTES

SERVICES = ("monolith", *(route.service for route in TRACSEQ_ROUTES))

names = st.builds("{}{}".format, st.sampled_from("abcwxyz"), st.text("abz019-", max_size=5))
sentences = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn"], exclude_characters="\ufeff"
    ),
    min_size=1,
    max_size=24,
).filter(lambda text: bool(text.strip()))
times = st.integers(1, 10**7).map(lambda ms: duration.write(duration.parse(f"{ms}ms")))
words = st.text("abcXYZ019_./-", min_size=1, max_size=6)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | sentences,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)

_argv = st.lists(words, min_size=1, max_size=3)
_services = st.lists(st.sampled_from(SERVICES[1:]), min_size=1, max_size=3, unique=True)
_flags = st.lists(
    st.sampled_from([route.flag for route in TRACSEQ_ROUTES]), min_size=1, max_size=3, unique=True
)
_paths = words.map(lambda text: f"/{text}")


def _with(
    required: Mapping[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(dict(required), optional=optional)


@st.composite
def _routed(draw: st.DrawFn) -> dict[str, Any]:
    route = draw(st.sampled_from(TRACSEQ_ROUTES))
    written: dict[str, Any] = {
        "prefix": route.prefix,
        "answered_by": draw(st.sampled_from([route.service, "monolith"])),
    }
    more: dict[str, Any] = draw(
        _with(
            {},
            paths=st.lists(_paths.map(lambda path: route.prefix + path), max_size=2),
            requests=st.integers(6, 200),
        )
    )
    return written | more


_DATABASES = ("main", "auth", "samples", "storage")
_two_databases = st.permutations(_DATABASES).map(lambda found: {"from": found[0], "to": found[1]})
_throttles = st.one_of(
    _with({"active": st.integers(0, 99)}),
    _with({"standby_lag": times}),
    _with({"query": sentences, "at_most": st.integers(0, 99)}),
)


BODIES: Mapping[str, st.SearchStrategy[Any]] = {
    "backup": _with(
        {"databases": st.lists(st.sampled_from(_DATABASES), min_size=1, max_size=3, unique=True)},
        prove=st.sampled_from(["list", "restore"]),
        keep=st.integers(1, 99),
    ),
    "command": st.one_of(
        _with(
            {"run": _argv, "verify": _argv, "revert": _argv},
            probe=_argv,
            env=st.dictionaries(words, words, max_size=2),
        ),
        _with({"run": _argv, "verify": _argv, "irreversible": sentences}, probe=_argv),
    ),
    "cutover": st.builds(
        lambda mappings, flags, more: {
            "replications": [
                {"from": "main", "to": name, "mapping": mapping} for mapping, name in mappings.items()
            ],
            "flags": dict.fromkeys(flags, True),
            **more,
        },
        st.sampled_from([{"users": "auth"}, {"samples": "samples"}, {"users": "auth", "samples": "samples"}]),
        _flags,
        _with(
            {}, write_gap=times, order=st.sampled_from(["auto", "hold", "reload"]), accept_gap=st.booleans()
        ),
    ),
    "flags": st.builds(lambda flags: {"set": dict.fromkeys(flags, True), "writes": "stranded"}, _flags),
    "http": _with(
        {"target": st.sampled_from(["gateway", *SERVICES]), "path": _paths},
        method=st.sampled_from(["GET", "HEAD", "OPTIONS"]),
        within=times,
        expect=_with(
            {},
            status=st.integers(100, 599) | st.lists(st.integers(100, 599), min_size=1, max_size=3),
            json=st.dictionaries(words, json_values, max_size=2),
            contains=sentences,
        ),
    ),
    "pause": _with({"ask": sentences}, yes=st.booleans()),
    "replicate": st.builds(
        lambda ends, more: ends | more,
        _two_databases,
        _with(
            {"mapping": st.sampled_from(["users", "samples"])},
            jobs=st.integers(1, 16),
            lag=times,
            throttle=_throttles,
        ),
    ),
    "route": _routed(),
    "sql": _with(
        {"database": st.sampled_from(_DATABASES), "scripts": st.just("sql/samples")}, lock_timeout=times
    ),
    "services": st.one_of(_with({"up": _services}), _with({"down": _services})),
}
"""What each kind of step may say. A kind that is missing here fails `tests/test_any_input.py`."""

_entries = _with({}, title=sentences, timeout=times, retry=_with({"attempts": st.integers(1, 9)}, wait=times))
_CHECKS = ("http", "route")


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """A valid plan for TracSeq's own services, as its file would say it."""
    ids = (f"{draw(names)}-{number}x" for number in count())

    def step(kinds: Sequence[str], *, name: str | None) -> dict[str, Any]:
        kind = draw(st.sampled_from(kinds))
        own: dict[str, Any] = {"id": name} if name else {}
        more: dict[str, Any] = draw(_entries)
        return own | {kind: draw(BODIES[kind])} | more

    def group() -> dict[str, Any]:
        # What may run at once must not change the same thing: only what changes nothing is put together here.
        return {"parallel": [step(_CHECKS, name=next(ids)) for _ in range(draw(st.integers(1, 2)))]}

    every = sorted(BODIES)
    steps = [
        group() if draw(st.integers(0, 3)) == 0 else step(every, name=next(ids))
        for _ in range(draw(st.integers(1, 5)))
    ]
    week = draw(names)
    others = st.lists(names.filter(lambda name: name != week), max_size=2, unique=True)
    optional: dict[str, Any] = draw(
        _with(
            {},
            about=sentences,
            progress=st.integers(0, 100),
            needs=others.map(lambda found: [{"week": n} for n in found]),
        )
    )
    if draw(st.booleans()):
        optional["checklist"] = [{"id": next(ids), **draw(_items)} for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        optional["preflight"] = [
            step(_CHECKS, name=next(ids) if draw(st.booleans()) else None)
            for _ in range(draw(st.integers(0, 2)))
        ]
    risk = draw(st.sampled_from(["low", "medium", "high"]))
    return {"week": week, "title": draw(sentences), "risk": risk, **optional, "steps": steps}


_items = st.one_of(
    _with(
        {"ask": sentences},
        evidence=st.sampled_from(["required", "optional", "none"]),
        expires=times,
        approvals=st.integers(1, 5),
    ),
    _with({"ask": sentences, "yes": st.just(True)}, evidence=st.sampled_from(["optional", "none"])),
)


@st.composite
def environments(draw: st.DrawFn) -> dict[str, Any]:
    """A valid environment file with one environment; it needs no variable, and no other file."""
    strategy = draw(st.sampled_from(["proxy", "rolling", "supervisor", "signal", "command"]))
    instances = draw(st.integers(2, 3)) if strategy == "proxy" else draw(st.integers(1, 3))
    start: list[Any] = [{"supervisor": "x"}, {"command": {"up": ["u"], "down": ["d"]}}]
    starts: st.SearchStrategy[Any] = st.sampled_from(start)
    if strategy in ("signal", "command"):
        starts = st.just(start[0] if strategy == "signal" else "external")
    databases = draw(st.lists(names, max_size=3, unique=True))
    others = draw(
        st.lists(
            names.filter(lambda n: n not in ("gateway", "monolith")), min_size=1, max_size=3, unique=True
        )
    )

    def service(port: int) -> dict[str, Any]:
        more = draw(_with({}, health=_paths, start=st.sampled_from(["external", *start])))
        stored = draw(st.booleans())
        if databases and stored:
            more["database"] = draw(st.sampled_from(databases))
        return {"url": f"http://127.0.0.1:{port}", **more}

    reload: dict[str, Any] = {"strategy": strategy, **draw(_with({}, start=times, drain=times))}
    if strategy == "signal":
        reload["signal"] = draw(st.sampled_from(["HUP", "USR1", "USR2"]))
    if strategy == "command":
        reload["command"] = draw(_argv.map(lambda words: [word.replace("/", "x") for word in words]))
    flags: dict[str, Any] = {
        "file": "flags.env",
        **draw(_with({}, write=st.sampled_from(["auto", "atomic", "in-place"]))),
    }
    if draw(st.booleans()):
        flags["names"] = {
            f"MOVE_{number}": {"key": f"k{number}", "prefix": f"/p{number}", "service": name}
            for number, name in enumerate(others)
        }
    gateway = {
        "url": "http://127.0.0.1:1",
        "monolith": "monolith",
        "instances": [
            # A capital cannot be in the name of a service, so that no name is taken.
            {"name": f"instance-no-{n}", "url": f"http://127.0.0.1:{100 + n}", "start": draw(starts)}
            for n in range(instances)
        ],
        "flags": flags,
        "reload": reload,
    }
    if strategy == "proxy":
        proxies = [
            {"haproxy": {"socket": "run/s", "backend": "b"}},
            {"caddy": {"admin": "http://127.0.0.1:9", "server": "s"}},
        ]
        gateway["proxy"] = draw(st.sampled_from(proxies))
    section = {
        "supervisor": "run/supervisor.sock",
        "gateway": gateway,
        "services": {name: service(200 + number) for number, name in enumerate(("monolith", *others))},
        "databases": {name: {"dsn": f"postgresql://127.0.0.1/{name}"} for name in databases},
        **draw(
            _with(
                {}, sandbox=st.booleans(), identity=st.sampled_from(["system", "git"]), plans=st.just("weeks")
            )
        ),
    }
    return {"version": 1, "environments": {draw(names): section}}


FLAGS = ("USE_A", "USE_B", "USE_C")
NESTED = "FEATURE_FLAGS__"

flag_files = st.builds(
    lambda lines, end: "".join(lines) + end,
    st.lists(
        st.builds(
            "{}{}={}{}{}".format,
            st.sampled_from(["", "export ", "# "]),
            st.sampled_from([*FLAGS, "use_a", f"{NESTED}USE_B", "URL"]),
            st.sampled_from(["true", "'false'", '"on"', "", "0", "a b", '"several\nlines"']),
            st.sampled_from(["", " # c", "  "]),
            st.sampled_from(["\n", "\r\n", "\n\n"]),
        ),
        max_size=8,
    ),
    st.sampled_from(["", "USE_C=no", "# end"]),
)
"""Flag files in which nothing is out of the ordinary."""

_odd_lines = st.one_of(
    st.sampled_from(
        [
            "",
            "not a line",
            "- USE_A: true",
            "''=x",
            "=x",
            "'",
            "USE_A",
            "use_b: x",
            "X='open",
            "\x00",
            "U\u017fE_A=1",
        ]
    ),
    st.text(max_size=12),
)
near_flag_files = st.one_of(
    st.builds(
        lambda lines, breaks, bom: (
            bom + "".join(line + end for line, end in zip(lines, breaks, strict=False))
        ),
        st.lists(st.one_of(_odd_lines, flag_files), max_size=5),
        st.lists(st.sampled_from(["\n", "\r\n", "\r", ""]), min_size=5, max_size=5),
        st.sampled_from(["", "", "\ufeff"]),
    ).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=80),
)
"""Files as bytes, of which some part can be read as flags, or none."""


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, bool]]:
    """What a gateway answers to /health and to /routing-status, and the flags, by key, that both of its maps agree on."""
    flags = draw(
        st.dictionaries(st.sampled_from([route.key for route in TRACSEQ_ROUTES]), st.booleans(), min_size=1)
    )
    health = {
        "status": "healthy",
        "service": "TracSeq API Gateway (Monolith Router)",
        **draw(_with({}, version=words)),
    }
    status = {
        "routing_configuration": {
            "microservices": {
                key: {"enabled": on, "url": f"http://{key}" if on else None} for key, on in flags.items()
            }
        },
        "feature_flags": dict(flags),
    }
    return health, status, flags


@st.composite
def bent(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> Any:
    """A document with one thing in it taken away, put twice, renamed, or made something else."""
    document = copy.deepcopy(draw(whole))
    places = list(_places(document))
    container, key = draw(st.sampled_from(places))
    how: list[Callable[[], None]] = [
        lambda: _take(container, key),
        lambda: container.__setitem__(key, draw(json_values)),
    ]
    if isinstance(container, list):
        how.append(lambda: container.append(copy.deepcopy(container[key])))
    else:
        how.append(lambda: container.__setitem__(draw(words), container.pop(key)))
    draw(st.sampled_from(how))()
    return document


def _take(container: Any, key: Any) -> None:
    del container[key]


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if isinstance(value, (dict, list)):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            found += [(value, key), *_places(inner)]
    return found


_PLAIN = re.compile(r"[a-zA-Z/_][a-zA-Z0-9/_.-]*")
_READ_AS_SOMETHING_ELSE = frozenset({"true", "false", "null"})


@st.composite
def spelled(draw: st.DrawFn, document: Mapping[str, Any]) -> bytes:
    """The document as YAML: the order of keys, the style of each part, comments, white space and quotes are any."""
    return ("".join(_block(draw, document, 0)) or "{}\n").encode()


def _block(draw: st.DrawFn, value: Any, depth: int) -> list[str]:
    indent = "  " * depth
    lines: list[str] = []
    pairs: list[tuple[str, Any]]
    if isinstance(value, dict):
        pairs = [
            (f"{_scalar(draw, key)}:", inner) for key, inner in draw(st.permutations(list(value.items())))
        ]
    else:
        pairs = [("-", inner) for inner in value]
    for head, inner in pairs:
        if draw(st.integers(0, 9)) == 0:
            lines.append(
                draw(st.sampled_from(["\n", f"{indent}# a comment: [that, says, nothing\n", "   \n"]))
            )
        blank = " " * draw(st.integers(1, 3))
        comment = draw(st.sampled_from(["", "", "", " # {", "  "]))
        if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
            lines += [f"{indent}{head}{comment}\n", *_block(draw, inner, depth + 1)]
        else:
            lines.append(f"{indent}{head}{blank}{_flow(draw, inner)}{comment}\n")
    return lines


def _flow(draw: st.DrawFn, value: Any) -> str:
    gap = draw(st.sampled_from(["", " ", "  "]))
    if isinstance(value, dict):
        pairs = draw(st.permutations(list(value.items())))
        return (
            "{"
            + f",{gap} ".join(f"{_scalar(draw, k)}: {_flow(draw, inner)}" for k, inner in pairs)
            + gap
            + "}"
        )
    if isinstance(value, list):
        return "[" + f",{gap} ".join(_flow(draw, inner) for inner in value) + gap + "]"
    return _scalar(draw, value)


def _scalar(draw: st.DrawFn, value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) and value.casefold() not in _READ_AS_SOMETHING_ELSE
    if plain and draw(st.booleans()):
        return value
    if value.isprintable() and draw(st.booleans()):
        return "'" + value.replace("'", "''") + "'"
    return json.dumps(value, ensure_ascii=draw(st.booleans()) and value.isascii())
