"""What is right, to be bent: the plans that ship, the examples of the documents, and small files of every kind."""

from __future__ import annotations

import json
import re
from functools import cache

from tests.chaos.ledger import ROOT

KINDS = ("plan", "environment", "flags", "answer")
"""The kinds of input: two that the loader reads, the flag file, and what a gateway answers."""

_PLAN = """\
week: week3
title: Authentication
risk: high
about: Everybody signs in again.
progress: 70
needs: [{week: week2}]
checklist:
  - {id: told, ask: Users know, evidence: required, expires: 12h, approvals: 2}
  - {id: ready, ask: We are ready, yes: true}
preflight:
  - http: {target: gateway, path: /health, expect: {status: [200, 204], json: {status: healthy, note: null}}}
  - {id: before, title: The monolith answers, route: {prefix: /api/auth, answered_by: monolith}}
steps:
  - {id: start, services: {up: [auth]}, timeout: 90s, retry: {attempts: 3}}
  - parallel:
      - {id: a, http: {target: auth, path: /a, within: 1m30s}}
      - {id: b, http: {target: auth, path: /b}}
  - id: script
    command: {run: [./x, "1"], verify: [./y], probe: [./z], revert: [./w], env: {A: "1"}}
  - {id: flags, flags: {set: {USE_AUTH_SERVICE: true}, writes: {auth: stranded}}}
  - {id: look, pause: {ask: Does it look right?}}
"""

_STEPS = (
    "{id: a, services: {up: [storage, rag]}}",
    "{id: a, services: {down: [storage]}, timeout: 1h}",
    "{id: a, http: {target: gateway, path: /health, expect: {status: 200, json: {status: healthy}}}}",
    "{id: a, flags: {set: {USE_STORAGE_SERVICE: true, USE_RAG_SERVICE: true}, writes: stranded}}",
    "{id: a, route: {prefix: /api/storage, answered_by: storage, paths: [/api/storage/x]}, retry: {attempts: 2, wait: 2s}}",
    "{id: a, command: {run: [a], verify: [b], irreversible: nothing brings it back, shell: false, cwd: x}}",
    "{id: a, pause: {ask: Is it well?, yes: true}}",
    "{parallel: [{id: a, pause: {ask: A}}, {id: b, pause: {ask: B}}]}",
)

_ENVIRONMENT = """\
version: 1
environments:
  lab:
    sandbox: true
    identity: variable
    supervisor: run/supervisor.sock
    gateway:
      url: http://127.0.0.1:8089
      monolith: monolith
      instances:
        - {name: gateway-1, url: "http://127.0.0.1:8101", start: {supervisor: gateway-1}}
        - {name: gateway-2, url: "http://127.0.0.1:8102", start: {supervisor: gateway-2}}
      flags:
        file: flags.env
        names: {MOVE_ORDERS: {key: orders, prefix: /v1/orders, service: orders}}
      reload: {strategy: proxy, start: 30s, drain: 10s}
      proxy: {haproxy: {socket: run/haproxy.sock, backend: gateway}}
    services:
      monolith: {url: "${MONOLITH:-http://127.0.0.1:3000}", health: /health, database: main}
      orders: {url: "http://127.0.0.1:3014", start: {command: {up: [a], down: [b], status: [c]}}, database: orders}
    databases:
      main: {dsn: "file:secret"}
      orders: {dsn: "postgresql://u:p@127.0.0.1/orders"}
    log: {file: LOG.md, git: {commit: true, author: "A <a@example.org>"}}
"""

_SMALL_ENVIRONMENT = """\
version: 1
environments:
  a:
    gateway:
      url: http://h:1
      monolith: m
      instances: [{name: g, url: "http://h:2"}]
      flags: {file: f}
      reload: {strategy: command, command: [r]}
    services: {m: {url: "http://h:3"}}
"""

_FLAG_FILES = (
    "USE_STORAGE_SERVICE=false\nUSE_RAG_SERVICE=true\n",
    '# flags\n\nexport USE_STORAGE_SERVICE = \'false\' # the freezers\r\nuse_rag_service="no"\r\nA="x\ny"\n',
    "FEATURE_FLAGS__USE_STORAGE_SERVICE=1\nUSE_STORAGE_SERVICE=0\nUSE_STORAGE_SERVICE=off\nX=${USE_RAG_SERVICE}",
    "USE_STORAGE_SERVICE\nUSE_RAG_SERVICE: true\n'USE_STORAGE_SERVICE'=t\nPASSWORD=a'b\"c#d\n",
    "\ufeffUSE_STORAGE_SERVICE=y\rUSE_RAG_SERVICE=n\r",
)

HEALTH = {"status": "healthy", "service": "TracSeq API Gateway (Monolith Router)", "version": "0.2.0"}
STATUS = {
    "routing_configuration": {
        "microservices": {
            "storage": {"enabled": True, "url": "http://enhanced-storage-service:8082"},
            "rag": {"enabled": False, "url": None},
        }
    },
    "feature_flags": {"storage": True, "rag": False},
}


def _examples(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _without_comments(text: str) -> str:
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(kept) + "\n"


@cache
def corpus(kind: str) -> tuple[bytes, ...]:
    """The files of a kind."""
    texts: list[str] = []
    match kind:
        case "plan":
            shipped = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "weeks").glob("*.yaml"))]
            head = "week: week1\ntitle: A week\nrisk: low\nsteps:\n  - "
            small = [head + step + "\n" for step in _STEPS]
            texts = [
                *shipped,
                *map(_without_comments, shipped),
                _PLAN,
                *small,
                *small,
                *_examples("plans.md"),
            ]
        case "environment":
            texts = [_ENVIRONMENT, _SMALL_ENVIRONMENT, _SMALL_ENVIRONMENT, *_examples("environment.md")]
        case "flags":
            texts = [*_FLAG_FILES]
        case "answer":
            texts = [json.dumps(HEALTH), json.dumps(STATUS), json.dumps(STATUS, indent=1)]
    return tuple(text.encode() for text in texts)
