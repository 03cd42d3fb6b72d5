"""What a person types to put the flags back, typed: by bash, into a real file, at a real address."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.operations.world import World, outcome
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.operations.by_hand import Remains
from tracseq_migrate.operations.by_hand import by_hand as way_back
from tracseq_migrate.operations.run import RunOptions, run
from tracseq_migrate.operations.views import Header
from tracseq_migrate.routing import by_hand
from tracseq_migrate.step import Hands, InstanceHands, ServiceHands


@contextmanager
def _instance(flags: dict[str, Any]) -> Iterator[str]:
    """An instance of the gateway that says these flags."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"feature_flags": flags}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any, **more: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _bash(folder: Path, lines: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # The wait for what never comes is a minute: it is not sat out here.
    typed = "sleep() { :; }\n" + "\n".join(lines)
    return subprocess.run(
        ["/bin/bash", "-c", typed], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def _undo(file: Path, **values: str | None) -> dict[str, Any]:
    return {
        "location": str(file),
        "values": values,
        "effective": dict.fromkeys(values, False),
        "instances": ["one"],
    }


def _edited(file: Path, **values: str | None) -> bytes:
    lines = [
        line for line in by_hand.lines(_undo(file, **values), {}, Hands()) if "sed" in line or "grep" in line
    ]
    done = _bash(file.parent, ["set -e", *lines])
    assert done.returncode == 0, done
    assert done.stderr == ""
    return file.read_bytes()


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (b"B=1", b"B=1\nUSE_X=false\n"),
        (b"", b"USE_X=false\n"),
        (b"B=1\n", b"B=1\nUSE_X=false\n"),
        (b"USE_X=true  # ask Ana first\nB=1", b"USE_X=false  # ask Ana first\nB=1"),
        (b"export USE_X = \"true\" # 'q'\n", b"export USE_X = \"false\" # 'q'\n"),
        (b"USE_X='true'\r\nB=1\r\n", b"USE_X='false'\r\nB=1\r\n"),
        (b"USE_X=true\r\nB=1\r\n", b"USE_X=false\r\nB=1\r\n"),
        (b"USE_X=\r\n", b"USE_X=false\r\n"),
        (b"USE_X= # none\n", b"USE_X= false # none\n"),
        (b"# USE_X=true\nUSE_XY=true\nUSE_X=true\n", b"# USE_X=true\nUSE_XY=true\nUSE_X=false\n"),
    ],
)
def test_only_the_value_changes(tmp_path: Path, body: bytes, after: bytes) -> None:
    file = tmp_path / "it's flags.env"
    file.write_bytes(body)
    assert _edited(file, USE_X="false") == after
    assert DotenvFlagStore(file).read().values["USE_X"] == "false"
    assert _edited(file, USE_X="false") == after


def test_what_was_not_declared_goes_again(tmp_path: Path) -> None:
    file = tmp_path / "flags.env"
    file.write_bytes(b"B=1\nUSE_X=true\nUSE_XY=true")
    assert _edited(file, USE_X=None) == b"B=1\nUSE_XY=true"


def _printed(tmp_path: Path, url: str, *, renew: str) -> list[list[str]]:
    """The lines of each step of a way back, in a world whose one instance is at ``url``."""
    world = World()
    flags = tmp_path / "flags.env"
    flags.write_text("USE_STORAGE_SERVICE=true")
    hands = Hands(
        folder=str(tmp_path),
        flag_file=str(flags),
        services={"storage": ServiceHands("touch started", "touch stopped")},
        instances=(InstanceHands("one", url, (renew,), ("touch ready",)),),
        keys={"USE_STORAGE_SERVICE": "storage"},
    )
    assert Hands.from_document(json.loads(json.dumps(hands.document()))) == hands
    up = {"id": "up", "services": {"up": ["storage"]}}
    flip = {"id": "flip", "flags": {"set": {"USE_STORAGE_SERVICE": True}, "writes": "stranded"}}
    world.plan("week9", up, flip)
    system = replace(world.process(), hands=hands)
    ran = outcome(lambda: run(system, "week9", RunOptions(assume_yes=True)))
    assert ran.code == 0, ran
    view = way_back(Remains(Header("lab", "", "memory"), world.journal, world.lease.show), "week9")
    return [list(step.lines) for step in view.steps]


@pytest.mark.parametrize("at_once", [True, False])
def test_the_way_back_is_gone_to_its_end(tmp_path: Path, at_once: bool) -> None:
    with _instance({"storage": False}) as url:
        flip, up = _printed(tmp_path, url, renew="touch renewed")
        assert [step[-1].startswith("); [ $? -eq 0 ] && way_back=") for step in (flip, up)] == [True, True]
        # Each of its lines may be typed twice.
        done = _bash(tmp_path, [*flip, *up] if at_once else [*flip, *flip, *up, *up])
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"flags.env", "renewed", "ready", "stopped"}
    assert (tmp_path / "flags.env").read_text() == "USE_STORAGE_SERVICE=false"


@pytest.mark.parametrize(
    "wrong", ["the old flags", "a command fails", "a program is missing", "nobody answers"]
)
def test_it_stops_at_what_fails_and_no_service_is_stopped(tmp_path: Path, wrong: str) -> None:
    renew = {"a command fails": "false", "a program is missing": "supervisorctl restart one"}
    with _instance({"storage": wrong == "the old flags"}) as url:
        asked = "http://127.0.0.1:1" if wrong == "nobody answers" else url
        flip, up = _printed(tmp_path, asked, renew=renew.get(wrong, "true"))
        path = tmp_path / "bin"
        path.mkdir()
        for tool in ("sed", "grep", "curl", "python3", "tail", "seq", "touch"):
            found = shutil.which(tool)
            assert found is not None
            (path / tool).write_text(f'#!/bin/sh\nexec {found} "$@"\n')
            (path / tool).chmod(0o755)
        only = [f"PATH={shlex.quote(str(path))}"] if wrong == "a program is missing" else []
        done = _bash(tmp_path, [*only, *flip, *up])
    assert done.returncode == 1
    assert not (tmp_path / "ready").exists()
    assert not (tmp_path / "stopped").exists()
    assert "stopped in step 1 of 2" in done.stderr
    assert "step 1 comes first" in done.stderr
    words = {
        "the old flags": "one to say false for storage: not so: storage",
        "nobody answers": "no answer",
        "a program is missing": "supervisorctl: not found",
    }
    assert words.get(wrong, "") in done.stderr
    # A person puts the rest right, says so, and goes on.
    assert _bash(tmp_path, ["way_back=1", *up]).returncode == 0
    assert (tmp_path / "stopped").exists()
