"""The stored journals, one a released version, and what the present code makes of them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.operations.world import World
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal, SqliteLease, SqliteVault
from tracseq_migrate.journal.replay import replay
from tracseq_migrate.journal.snapshot import plain
from tracseq_migrate.operations.guarded import guarded
from tracseq_migrate.operations.moving import export
from tracseq_migrate.operations.system import Gate, System
from tracseq_migrate.ports import Services

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(path.parent.name for path in FIXTURES.glob("*/journal.sqlite3"))
ENVIRONMENT = "sandbox"


@contextmanager
def system_on(
    folder: Path, *, world: World | None = None, environment: str = ENVIRONMENT
) -> Iterator[System]:
    """A system of fakes, but for its journal: SQLite in a folder."""
    path = folder / "journal.sqlite3"
    store, lease = SqliteJournal(path, environment=environment), SqliteLease(path, environment=environment)
    base = (world or World()).process()
    gate = Gate(lease)
    try:
        yield replace(
            base,
            environment=environment,
            store=store,
            lease=lease,
            vault=SqliteVault(path, environment=environment),
            gate=gate,
            services=guarded(base.services, Services, gate),
        )
    finally:
        lease.close()
        store.close()


@contextmanager
def stored(version: str) -> Iterator[System]:
    """A system on a copy of a stored journal: what is stored is never opened itself."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(FIXTURES / version / "journal.sqlite3", Path(name) / "journal.sqlite3")
        with system_on(Path(name)) as system:
            yield system


def derived(folder: Path) -> dict[str, str]:
    """The files that the present code makes of a stored journal."""
    with stored(folder.name) as system:
        state = replay(system.store.read())
        return {
            "export.jsonl": "".join(export(replace(system, version=folder.name))),
            "state.json": json.dumps(plain(state), indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        }


def differences(expected: Any, found: Any, where: str = "state") -> list[str]:
    """Where a later fold says something else than a stored one. What it says besides is no difference."""
    if isinstance(expected, dict) and isinstance(found, dict):
        wrong = [f"{where}.{key} is gone" for key in expected if key not in found]
        return wrong + [
            line
            for key, value in expected.items()
            if key in found
            for line in differences(value, found[key], f"{where}.{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for n, (a, b) in pairs for line in differences(a, b, f"{where}[{n}]")]
    return [] if expected == found else [f"{where}: {expected!r} was {found!r}"]
