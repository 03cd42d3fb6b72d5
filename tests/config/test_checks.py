"""The parts of an environment fit each other, or it is said which do not: exact words at exact places."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracseq_migrate import config
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles

WHOLE = """\
version: 1
environments:
  lab:
    sandbox: true
    identity: variable
    supervisor: run/supervisor.sock
    gateway:
      url: http://gateway:8089
      monolith: monolith
      instances:
        - {name: gateway-1, url: "http://gateway:8101", start: {supervisor: gateway-1}}
        - {name: gateway-2, url: "http://gateway:8102", start: {supervisor: gateway-2}}
      flags:
        file: flags.env
        names:
          USE_STORAGE: {key: storage, prefix: /api/storage, service: storage}
          USE_RAG: {key: rag, prefix: /api/rag, service: rag}
      reload: {strategy: proxy}
      proxy: {haproxy: {socket: run/haproxy.sock, backend: gateway}}
    services:
      monolith: {url: "http://monolith:3000", database: main}
      storage: {url: "http://storage:3014", start: {supervisor: storage}}
      rag: {url: "http://rag:3019", start: {command: {up: [up], down: [down]}}}
    databases:
      main: {dsn: postgresql://db/main}
"""


_NO_PREFIX = (
    " is not a path prefix (it begins with /, does not end with one, and has no query: such as /api/storage)"
)
_STRATEGIES = "one of 'proxy', 'rolling', 'signal', 'supervisor', 'command'"


def _findings(*changes: tuple[str, str]) -> list[str]:
    text = WHOLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    files = MemoryFiles()
    files.bodies[Path("/e.yaml")] = text.encode()
    looked = config.inspect(Path("/e.yaml"), files, {})
    assert (looked.environment is None) == bool(looked.findings)
    return [str(finding).removeprefix("/e.yaml:") for finding in looked.findings]


def test_the_whole_one_has_no_findings() -> None:
    assert _findings() == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "sandbox: true",
            "sandbox: false",
            "5:15: a variable may tell who is at work in a sandbox only "
            "(write system, git or {command: [...]}, or sandbox: true)",
        ),
        (
            "    supervisor: run/supervisor.sock\n    gateway:",
            "    gateway:",
            "10:64: started by supervisor, but the environment names no socket of it "
            "(add supervisor: run/supervisor.sock to the environment)",
        ),
        ("database: main", "database: mian", "21:57: unknown database 'mian' (did you mean 'main'?)"),
        (
            "monolith: monolith",
            "monolith: monolit",
            "9:17: unknown service 'monolit' (did you mean 'monolith'?)",
        ),
        ("service: rag", "service: rga", "17:58: unknown service 'rga' (did you mean 'rag'?)"),
        ("service: rag", "service: monolith", "17:58: a flag cannot route to the monolith itself"),
        ("key: rag", "key: storage", "17:26: the key 'storage' belongs to USE_STORAGE already"),
        ("/api/rag", "/api/storage", "17:39: the prefix '/api/storage' belongs to USE_STORAGE already"),
        (
            "USE_RAG",
            "use_storage",
            "17:11: 'use_storage' and 'USE_STORAGE' are one flag: letter case is not told apart",
        ),
        ("/api/rag", "/api/rag/", f"17:39: '/api/rag/'{_NO_PREFIX}"),
        ("/api/rag", "api", f"17:39: 'api'{_NO_PREFIX}"),
        (
            "name: gateway-2",
            "name: storage",
            "12:18: the name 'storage' names a service too (give the instance a name of its own)",
        ),
        (
            "name: gateway-2",
            "name: gateway-1",
            "12:18: the name 'gateway-1' names two instances (give the instance a name of its own)",
        ),
        (
            "name: gateway-2",
            "name: gateway",
            "12:18: the name 'gateway' stands for the gateway as clients reach it (give the instance a name of its own)",
        ),
        (
            "8102",
            "8101",
            "12:34: http://gateway:8101 is the address of 'gateway-1' already (each instance has a port of its own)",
        ),
        (
            "gateway:8089",
            "gateway:8101",
            "8:12: http://gateway:8101 is the instance 'gateway-1', not the proxy in front of it "
            "(give the address that clients use)",
        ),
        (
            "      proxy: {haproxy: {socket: run/haproxy.sock, backend: gateway}}\n",
            "",
            "18:26: the strategy proxy needs a proxy "
            "(add proxy: {haproxy: {...}} to the gateway, or choose another strategy)",
        ),
        (
            '        - {name: gateway-2, url: "http://gateway:8102", start: {supervisor: gateway-2}}\n',
            "",
            "17:26: the strategy proxy needs two instances or more (add an instance, or choose the strategy supervisor)",
        ),
        (
            ", start: {supervisor: gateway-2}",
            ", start: external",
            "12:11: the strategy proxy needs a start by supervisor or command for 'gateway-2' "
            "(write start: {supervisor: PROGRAM} or {command: {...}})",
        ),
        (
            "strategy: proxy",
            "strategy: signal",
            "18:26: the strategy signal needs 'signal' (add signal: HUP to reload)",
        ),
        (
            "strategy: proxy",
            "strategy: command",
            "18:26: the strategy command needs 'command' (add command: [./reload-gateway] to reload)",
        ),
        (
            "strategy: proxy",
            "strategy: rolling, signal: HUP",
            "18:35: 'signal' means nothing to the strategy rolling (take it out, or change the strategy)",
        ),
        (
            "{haproxy: {socket: run/haproxy.sock, backend: gateway}}",
            "{}",
            "19:14: exactly one proxy must be given (write haproxy: {...} or caddy: {...})",
        ),
        (
            "start: {supervisor: storage}",
            "start: {supervisor: storage, command: {up: [a], down: [b]}}",
            "22:52: 'supervisor' and 'command' both start this (keep one of the two)",
        ),
        (
            "start: {supervisor: storage}",
            "start: systemd",
            "22:52: who starts this? "
            "(write external, or a mapping: {supervisor: PROGRAM} or {command: {up: [..], down: [..]}})",
        ),
        (
            "start: {supervisor: storage}",
            "start: {supervisr: storage}",
            "22:53: unknown key 'supervisr' (did you mean 'supervisor'?)",
        ),
        (
            "http://storage:3014",
            "storage:3014",
            "22:22: 'storage:3014' is not an http or https URL (such as http://127.0.0.1:8089)",
        ),
        (
            "http://storage:3014",
            "http://:3014",
            "22:22: 'http://:3014' names no host to connect to (such as http://127.0.0.1:8089)",
        ),
        (
            "http://storage:3014",
            "http://s:99999",
            "22:22: 'http://s:99999' is not a URL (such as http://127.0.0.1:8089)",
        ),
        (
            "http://storage:3014",
            "http://s/?a=b",
            "22:22: 'http://s/?a=b' has a query or a fragment (only the base of the URL belongs here)",
        ),
        (
            "strategy: proxy",
            "strategy: proxi",
            f"18:26: 'strategy': expected {_STRATEGIES}, found 'proxi' (did you mean 'proxy'?)",
        ),
        (
            "strategy: proxy",
            "strategy: proxy, drain: 5",
            "18:40: write a duration with its unit, such as 30s, 5m or 48h",
        ),
        (
            "identity: variable",
            "identity: {comand: [x]}",
            "5:16: unknown key 'comand' (did you mean 'command'?)",
        ),
        (
            "sandbox: true",
            "sandbox: true\n    state: postgresql://h/d",
            "5:12: the state is kept in a folder (such as .tracseq-migrate)",
        ),
        (
            "sandbox: true",
            "sandbox: on",
            "4:14: 'sandbox': expected true or false, found 'on' (write true or false)",
        ),
        (
            "      rag:",
            "      gateway:",
            "23:7: a service cannot be called 'gateway': that name stands for the gateway "
            "(give the service another name)",
        ),
        (
            "      rag:",
            "      RAG:",
            "23:7: 'RAG' is not of the right form (small letters, digits and dashes, a letter first)",
        ),
    ],
)
def test_what_does_not_fit_is_found(old: str, new: str, finding: str) -> None:
    assert finding in _findings((old, new))


@pytest.mark.parametrize(
    "changes",
    [
        [("strategy: proxy", "strategy: rolling")],
        [("strategy: proxy", "strategy: supervisor")],
        [("strategy: proxy", "strategy: signal, signal: HUP")],
        [
            ("strategy: proxy", "strategy: command, command: [./reload]"),
            ("{supervisor: gateway-1}", "external"),
        ],
        [
            (
                "haproxy: {socket: run/haproxy.sock, backend: gateway}",
                'caddy: {admin: "http://a:1", server: g}',
            )
        ],
        [("identity: variable", "identity: {command: [whoami]}")],
    ],
)
def test_what_fits_is_let_pass(changes: list[tuple[str, str]]) -> None:
    assert _findings(*changes) == []


def test_a_wrong_type_in_one_part_does_not_hide_what_does_not_fit_in_another() -> None:
    assert _findings(
        ("strategy: proxy", "strategy: proxi"),
        ("monolith: monolith", "monolith: monolit"),
        ('url: "http://storage:3014"', "url: 5"),
        ("database: main", "database: mian"),
        ("sandbox: true", "sandbox: yes"),
    ) == [
        "4:14: 'sandbox': expected true or false, found 'yes' (write true or false)",
        "9:17: unknown service 'monolit' (did you mean 'monolith'?)",
        f"18:26: 'strategy': expected {_STRATEGIES}, found 'proxi' (did you mean 'proxy'?)",
        "21:57: unknown database 'mian' (did you mean 'main'?)",
        "22:22: 'url': expected text, found 5 (put it in quotes)",
    ]
