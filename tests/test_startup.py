"""What each command imports: start-up is short where heavy packages wait until they are needed. No test here measures time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent / "benchmarks" / "nowhere"

HEAVY = ("aiohttp", "git", "h11", "httpcore", "httpx", "jinja2", "psycopg", "rich", "tenacity")
_DUMP = """
import sys
from tracseq_migrate.cli.app import start
code = start(sys.argv[1:])
sys.stdout.flush()
print("\\n=====\\n" + "\\n".join(sys.modules))
sys.exit(code)
"""


def imported(folder: Path, *words: str) -> set[str]:
    """The modules that are there when a command, piped, has ended well."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("TRACSEQ_MIGRATE_", "COV_"))}
    for steering in ("FORCE_COLOR", "COLUMNS"):  # a narrow page has to be folded, which is rich's work
        variables.pop(steering, None)
    done = subprocess.run(
        [sys.executable, "-c", _DUMP, *words], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    output, _, modules = done.stdout.partition("\n=====\n")
    assert output.strip(), "the command said nothing"
    return set(modules.split())


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "nowhere"))


def heavy(modules: set[str]) -> list[str]:
    return sorted(name for name in HEAVY if name in modules)


def test_the_version_and_the_help_import_next_to_nothing(tmp_path: Path) -> None:
    for word in ("--version", "--help"):
        modules = imported(tmp_path, word)
        assert heavy(modules) == []
        light = {
            "tracseq_migrate.adapters",
            "tracseq_migrate.config",
            "tracseq_migrate.plan",
            "yaml",
            "sqlite3",
        }
        assert sorted(light & modules) == []
    assert "pydantic" not in imported(tmp_path, "--version")


@pytest.mark.parametrize(
    "words", [("status",), ("plan", "week1", "--offline"), ("validate",), ("log",), ("status", "--json")]
)
def test_commands_that_look_wait_with_heavy_imports(nowhere: Path, words: tuple[str, ...]) -> None:
    modules = imported(nowhere, *words)
    assert heavy(modules) == []
    assert (
        sorted({"asyncio", "ssl", "http.client", "urllib.request", "xmlrpc.client", "supervisor"} & modules)
        == []
    )


def test_only_the_command_that_is_typed_is_imported(nowhere: Path) -> None:
    modules = imported(nowhere, "status")
    commands = {"approve", "lock", "log", "plan", "resume", "rollback", "run", "sandbox", "state", "verify"}
    assert sorted(commands & {name.removeprefix("tracseq_migrate.cli.") for name in modules}) == []
    assert "tracseq_migrate.cli.status" in modules


def test_nothing_is_asked_of_the_network_by_a_command_that_needs_none(nowhere: Path) -> None:
    modules = imported(nowhere, "plan", "week1", "--offline")
    assert "tracseq_migrate.adapters.roundup" not in modules
    assert "concurrent.futures" not in modules


def test_models_are_built_when_they_are_used(nowhere: Path) -> None:
    script = """
import tracseq_migrate.config.environment as environment, tracseq_migrate.steps as steps
models = [m for m in vars(environment).values() if isinstance(m, type) and hasattr(m, "__pydantic_complete__")]
models += steps.kinds().values()
assert len(models) > 10
import json
print(json.dumps([m.__name__ for m in models if m.__module__.startswith("tracseq") and m.__pydantic_complete__]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=nowhere, capture_output=True, text=True)
    assert done.stderr == ""
    assert json.loads(done.stdout) == []


def test_every_command_is_there_and_suggestions_know_them_all(nowhere: Path) -> None:
    from tracseq_migrate.cli import app as door

    folder = Path(door.__file__).parent
    ready = {
        p.stem
        for p in folder.glob("*.py")
        if "def register(" in p.read_text() or "\napp = typer" in p.read_text()
    }
    assert ready - {"app"} == set(door._COMMANDS)
    done = subprocess.run(
        [sys.executable, "-m", "tracseq_migrate", "statsu"], cwd=nowhere, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Did you mean 'status'" in done.stderr
