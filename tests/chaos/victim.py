"""The tool as a process that dies at a chosen point: the real command line over the real adapters, and SIGKILL.

Nobody lists the points. Every port method that is marked with `changes` has one before and one after each call; the journal's
append and the lease are such methods, too. And while such a call is under way, everything that Python itself announces of what
goes outside (its audit events: a file opened for writing, a rename, a connection, a program started) is a point in its middle:
death comes just before that system call. SQLite tells of its commits in the same way. Locks are no such effect: they die with
their process.

The product knows nothing of this. Ports are found by their marks, and what `cli/wiring.py` puts together is wrapped as it
is put together, so a new port, a new method or a new kind of step brings its points along.

A name such as ``before FlagStore.write(USE_RAG_SERVICE) #2`` is the same in every execution: it has no digest, id, time
or port number in it, and is counted by itself, so that parallel steps change no name. What a call polls for is counted once or
a few times only, because how often it is asked is a matter of luck. The lease's sign of life is given by a thread of its
own outside of any call, and is no point.

As a program, this waits for calls on its standard input, one JSON object a line (see `Call`), and answers each with one line. A
call is carried out by a child of its own, forked from a process that has imported everything already: a process like any
other, with its own id, its own threads and descriptors, and killed for real; only the start-up is saved.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tracseq_migrate.operations.guarded import changing_methods
from tracseq_migrate.ports import Draft

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FILE_EVENTS = frozenset(
    f"os.{name}"
    for name in (
        "chmod", "chown", "link", "mkdir", "remove", "removexattr", "rename", "rmdir", "setxattr", "symlink", "truncate",
        "utime",
    )
)  # fmt: skip
PROGRAM_EVENTS = frozenset(
    {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.kill"}
)
ASKED_OFTEN = {"connect": 3, "http": 1, "tcp": 1}
"""How often an event of these kinds counts within one call: further ones are polls, and their number is luck."""
HANGS = 120
"""Seconds after which a call that never ends is ended, by SIGALRM."""
OF_A_CONNECTION = ("synchronous", "fullfsync", "busy_timeout", "query_only")
"""Settings of SQLite that end with their connection, and change nothing outside."""

_RUN_ID = re.compile(r"\d{8}T\d{6}\.\d+Z-[0-9a-f]{4}")
_TOKEN = re.compile(r"[0-9a-f]{6,}")
_METHOD = re.compile(rb"<methodName>([\w.]+)</methodName>")


@dataclass(frozen=True)
class Call:
    """One call of the tool.

    ``die_at`` names a point, ``die_after`` counts them; without either nobody dies. ``points`` is a file that gets the name
    of each point that was passed, one a line, the one died at included.
    """

    argv: Sequence[str]
    cwd: str
    points: str
    out: str
    err: str
    variables: Mapping[str, str] = field(default_factory=dict)
    die_at: str = ""
    die_after: int = 0


class Fate:
    """Counts the points that this process passes, and ends it at the chosen one."""

    def __init__(self, die_at: str, die_after: int, told: int) -> None:
        self._die_at, self._die_after, self._told = die_at, die_after, told
        self._seen: Counter[str] = Counter()
        self._number = 0
        self.dying = False
        """From now on nothing is a point any more: sending the signal is announced, too."""
        self._lock = threading.Lock()

    def point(self, label: str) -> None:
        """Come by a point, and perhaps go no further."""
        with self._lock:
            self._seen[label] += 1
            self._number += 1
            name = f"{label} #{self._seen[label]}"
            os.write(self._told, f"{name}\n".encode())
            if name == self._die_at or self._number == self._die_after:
                self.dying = True
                os.kill(os.getpid(), signal.SIGKILL)

    def numbered(self, label: str) -> str:
        """A call's own name: its label with the number of this very call."""
        with self._lock:
            self._seen[label] += 1
            return f"{label} #{self._seen[label]}"


@dataclass
class _UnderWay:
    """A changing call of this thread, and which events were met in it."""

    name: str
    met: Counter[str] = field(default_factory=Counter)


class Middles:
    """Listens to what Python announces, and makes a point of it while this thread is in a changing call."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._thread = threading.local()

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """The time that a changing call takes."""
        stack = self._stack()
        stack.append(_UnderWay(name))
        try:
            yield
        finally:
            stack.pop()

    def listen(self) -> None:
        """From here on, for ever: to audit events, and to the statements of every SQLite connection."""
        connect = sqlite3.connect

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            connection.set_trace_callback(self._statement)
            return connection

        sqlite3.connect = traced  # type: ignore[assignment]  # the same, seen by its statements
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        stack = self._stack()
        if stack and not self._fate.dying:
            self._meet(stack[-1], *_named(event, args))

    def _meet(self, under_way: _UnderWay, kind: str, what: str) -> None:
        if not kind:
            return
        label = f"{kind} {what}".strip()
        under_way.met[label] += 1
        number = under_way.met[label]
        if number > ASKED_OFTEN.get(kind, number):
            return
        self._fate.point(f"in {under_way.name}: {label}" + (f" {number}" if number > 1 else ""))

    def _statement(self, statement: str) -> None:
        # Within a transaction nothing comes about before the commit; what stands outside of one does at once.
        stack = self._stack()
        verb = statement.split(maxsplit=1)[0].upper().rstrip(";") if statement.strip() else ""
        if not stack or (verb != "COMMIT" and not (verb == "PRAGMA" and "=" in statement)):
            return
        what = verb if verb == "COMMIT" else " ".join(statement.split())
        if not any(setting in statement for setting in OF_A_CONNECTION):
            self._meet(stack[-1], "sqlite", what)

    def _stack(self) -> list[_UnderWay]:
        if not hasattr(self._thread, "stack"):
            self._thread.stack = []
        return cast(list[_UnderWay], self._thread.stack)


def _named(event: str, args: tuple[Any, ...]) -> tuple[str, str]:
    """Kind and object of an audit event that goes outside, in words that are the same everywhere; empty for any other."""
    if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)) and args[2] & WRITING:
        name = _file(args[0])
        return ("open", name) if name else ("", "")
    if event in FILE_EVENTS:
        name = _file(args[0])
        return (event.removeprefix("os."), name) if name else ("", "")
    if event == "socket.connect":
        return _connection(args[1])
    if event == "http.client.send":
        request = _request(args[1])
        return ("http", request) if request else ("", "")
    if event in PROGRAM_EVENTS:
        return event.partition(".")[2], ""
    return "", ""


def _file(path: Any) -> str:
    """A file's name without what is drawn by lot; empty for Python's own files, ``fd`` for an open one."""
    if isinstance(path, int):
        return "fd"
    text = os.fsdecode(path)
    if "__pycache__" in text or text.startswith(("/dev/", "/proc/")):
        return ""
    return _plain(Path(text).name)


def _plain(text: str) -> str:
    return _TOKEN.sub("*", _RUN_ID.sub("RUN", text))


def _connection(address: Any) -> tuple[str, str]:
    if not isinstance(address, (str, bytes)):
        return "tcp", ""
    frame = sys._getframe()
    outer: Any = frame
    while outer is not None:
        if outer.f_code.co_filename.endswith("http/client.py"):
            return "", ""  # what it sends is announced, and says more
        outer = outer.f_back
    return "connect", _file(address)


def _request(data: Any) -> str:
    """What is sent, by the method that it calls or by its first line; empty for a head whose body follows."""
    body = bytes(data) if isinstance(data, (bytes, bytearray)) else b""
    method = _METHOD.search(body)
    if method is None and body.endswith(b"\r\n\r\n") and re.search(rb"(?i)content-length: *[1-9]", body):
        return ""
    return method[1].decode() if method else _plain(body.partition(b"\r\n")[0].decode("latin-1"))


class Mortal:
    """A port as a process that can die has it: a point before and one after each call that changes something."""

    def __init__(self, inner: object, port: type, fate: Fate, middles: Middles) -> None:
        self._inner, self._port, self._fate, self._middles = inner, port, fate, middles
        self._changing = changing_methods(port)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if name not in self._changing:
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            label = f"{self._port.__name__}.{name}{_about(args)}"
            numbered = self._fate.numbered(label)
            self._fate.point(f"before {label}")
            with self._middles.call(numbered):
                result = member(*args, **kwargs)
            self._fate.point(f"after {label}")
            return result

        return call


def _about(args: Sequence[Any]) -> str:
    """What a call is about, in words that are the same in every process."""
    first = args[0] if args else ""
    if isinstance(first, Path):
        return f"({_plain(first.name)})"
    if isinstance(first, str):
        return f"({_plain(first)})"
    if not isinstance(first, (list, tuple, dict)):
        return ""
    words = [
        f"{each.type} {each.step}".strip() if isinstance(each, Draft) else _plain(str(each)) for each in first
    ]
    return f"({', '.join(words)})"


def changing_port(kind: Any) -> type | None:
    """The port that a type is, when it has methods that change something."""
    return (
        kind
        if inspect.isclass(kind) and getattr(kind, "_is_protocol", False) and changing_methods(kind)
        else None
    )


def wrap(fate: Fate, middles: Middles) -> None:
    """From here on, whatever `cli/wiring.py` puts together can die."""
    from tracseq_migrate.cli import wiring
    from tracseq_migrate.operations.guarded import guarded

    def mortal(inner: Any, port: type) -> Any:
        return inner if isinstance(inner, Mortal) else Mortal(inner, port, fate, middles)

    # What stands behind the gate is wrapped where it is put there, because other parts hold it, too.
    behind_gate: set[int] = set()

    def gated(inner: Any, port: type, gate: Any) -> Any:
        made = guarded(mortal(inner, port), port, gate)
        behind_gate.add(id(made))
        return made

    opened = wiring.opened

    @contextmanager
    def watched(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with opened(*args, **kwargs) as system:
            found: dict[str, Any] = {}
            for name, kind in typing.get_type_hints(type(system)).items():
                have = getattr(system, name)
                port = changing_port(kind)
                made = changing_port(typing.get_args(kind)[-1]) if typing.get_args(kind) else None
                if port is not None and id(have) not in behind_gate:
                    found[name] = mortal(have, port)
                elif made is not None and callable(have):
                    found[name] = _making(have, made, mortal)
            yield dataclasses.replace(system, **found)

    vars(wiring)["guarded"] = gated
    wiring.opened = watched


def _making(make: Callable[..., Any], port: type, mortal: Callable[[Any, type], Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: mortal(make(*args, **kwargs), port)


def carry_out(call: Call) -> int:
    """Be the tool, once: the exit code, where it gets that far."""
    os.chdir(call.cwd)
    os.environ.update(call.variables)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    told = os.open(call.points, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for path, number in ((call.out, 1), (call.err, 2)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    fate = Fate(call.die_at, call.die_after, told)
    middles = Middles(fate)
    wrap(fate, middles)
    middles.listen()
    from tracseq_migrate.cli.app import start

    return start(call.argv)


def _import_everything() -> None:
    """What the tool imports when it is needed, so that no child has to."""
    import importlib
    import pkgutil

    import tracseq_migrate

    for module in pkgutil.walk_packages(tracseq_migrate.__path__, "tracseq_migrate."):
        if ".sandbox" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    for name in ("httpx", "jinja2.sandbox", "psycopg", "rich.console", "xmlrpc.client"):
        importlib.import_module(name)


def _child(call: Call) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(HANGS)
    code = 1
    try:
        code = carry_out(call)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - the last door of this process
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Carry out calls until the input ends; for each, one line says how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for whoever makes the calls, who ends the input then
    _import_everything()
    for line in sys.stdin:
        call = Call(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            _child(call)
        began = time.monotonic()
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        answer = json.dumps({"code": code, "seconds": time.monotonic() - began}) + "\n"
        try:
            os.write(sys.stdout.fileno(), answer.encode())
        except BrokenPipeError:
            return  # nobody waits for it any more


if __name__ == "__main__":
    main()
