"""`tracseq-migrate sandbox`, as a user types it: what is on stdout, what on stderr, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox_fixture import Sandbox, get, take_down
from tracseq_migrate.cli.sandbox import Fault, GatewayFault
from tracseq_migrate.sandbox import faults, lifecycle

pytestmark = pytest.mark.sandbox


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tracseq_migrate", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=120,
    )


def test_the_names_that_the_command_line_knows_are_those_that_there_are() -> None:
    assert tuple(Fault) == faults.NAMES
    assert tuple(GatewayFault) == lifecycle.GATEWAY_FAULTS


def test_up_status_and_down_from_any_folder(tmp_path: Path) -> None:
    try:
        up = command("sandbox", "up", "--users", "5", "--gateway", "single", "--json", folder=tmp_path)
        assert up.returncode == 0, up.stderr
        document = json.loads(up.stdout)
        assert document["dir"] == str(tmp_path / ".sandbox")
        assert document["proxy"] == {"kind": "none"}
        assert get(f"{document['gateway']['url']}/health")[0] == 200
        assert "PostgreSQL from" in up.stderr

        status = command("--json", "sandbox", "status", folder=tmp_path)
        assert json.loads(status.stdout) == document
        assert status.stderr == ""

        again = command("sandbox", "up", folder=tmp_path)
        assert again.returncode == 0
        assert again.stdout.startswith("It runs already.\n")
        assert "tracseq-migrate -c " in again.stdout

        assert (
            command("validate", folder=tmp_path / ".sandbox").returncode == 0
        )  # the file that it wrote for itself
        inside = tmp_path / ".sandbox" / "weeks"
        inside.mkdir()
        assert json.loads(command("sandbox", "status", "--json", folder=inside).stdout) == document
        assert command("sandbox", "up", folder=inside).stdout.startswith("It runs already.\n")
        assert list(inside.iterdir()) == []
        faults_on = command("sandbox", "fault", "service-500", "off", "--json", folder=inside)
        assert json.loads(faults_on.stdout)["dir"] == document["dir"]
        kept = command("sandbox", "down", "--keep", "--json", folder=inside)
        assert json.loads(kept.stdout)["kept"] is True
        stopped = command("sandbox", "status", folder=tmp_path)
        assert (stopped.returncode, "state      stopped" in stopped.stdout) == (0, True)
        config = Path(document["config"])
        config.write_text(config.read_text() + "# mine\n")
        down = command("sandbox", "down", folder=tmp_path)
        (kept_as,) = (tmp_path / ".sandbox" / "earlier").glob("*/tracseq-migrate.yaml")
        assert (down.returncode, down.stdout) == (
            0,
            "Stopped and removed.\n"
            f"tracseq-migrate.yaml was changed since `up` wrote it; it is kept as {kept_as}.\n"
            "Still in .sandbox: earlier, weeks.\n",
        )
        assert {path.name for path in (tmp_path / ".sandbox").iterdir()} == {"earlier", "weeks"}
        nothing = command("sandbox", "down", folder=tmp_path)
        assert (nothing.returncode, nothing.stdout) == (
            0,
            "There is no sandbox in .sandbox; nothing to do.\n",
        )
    finally:
        take_down(tmp_path / ".sandbox")


def test_status_where_there_is_none_says_what_to_type(tmp_path: Path) -> None:
    status = command("sandbox", "status", folder=tmp_path)
    assert status.returncode == 1
    assert status.stdout == ""
    assert "there is no sandbox in" in status.stderr
    assert "tracseq-migrate sandbox up --dir .sandbox" in status.stderr


def test_faults_from_the_command_line(sandbox: Sandbox) -> None:
    where = ("--dir", str(sandbox.folder))
    on = command(
        "sandbox", "fault", "service-500", "on", "--service", "auth", *where, "--json", folder=sandbox.folder
    )
    assert on.returncode == 0, on.stderr
    assert json.loads(on.stdout)["faults"] == ["service-500:auth"]
    shown = command("sandbox", "status", *where, folder=sandbox.folder)
    assert "faults     service-500:auth" in shown.stdout
    off = command("sandbox", "fault", "service-500", "off", *where, folder=sandbox.folder)
    assert (off.returncode, off.stdout) == (0, "Faults on: none\n")
    unknown = command("sandbox", "fault", "service-50", "on", *where, folder=sandbox.folder)
    assert unknown.returncode == 2
    named = f"there is no fault service-50 (did you mean service-500?); there is {', '.join(Fault)}"
    assert unknown.stderr.startswith(f"✗ Invalid value for 'NAME': {named}\n")
    wrong = command("sandbox", "fault", "service-500", "on", "--service", "x", *where, folder=sandbox.folder)
    assert wrong.returncode == 2
    assert "does not fit the fault service-500" in wrong.stderr


def test_load_finds_every_acknowledged_write(sandbox: Sandbox) -> None:
    load = command(
        "sandbox",
        "load",
        "--rate",
        "40",
        "--for",
        "2s",
        "--dir",
        str(sandbox.folder),
        "--json",
        folder=sandbox.folder,
    )
    assert load.returncode == 0, load.stdout + load.stderr
    document = json.loads(load.stdout)
    assert document["type"] == "load"


def test_a_duration_without_a_unit_is_a_usage_error(sandbox: Sandbox) -> None:
    load = command("sandbox", "load", "--for", "5", "--dir", str(sandbox.folder), folder=sandbox.folder)
    assert load.returncode == 2
    assert "is not a duration" in load.stderr
