"""Journals of every released version, kept for ever: the present code reads each as it was read when it was stored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.journal.stored import FIXTURES, VERSIONS, differences, stored
from tests.operations.world import World
from tracseq_migrate import __version__
from tracseq_migrate.journal import chain
from tracseq_migrate.journal.replay import replay
from tracseq_migrate.journal.snapshot import plain
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.migration_log.rendering import render
from tracseq_migrate.operations.approve import approve
from tracseq_migrate.operations.history import verify_chain
from tracseq_migrate.operations.moving import parse
from tracseq_migrate.operations.preview import preview
from tracseq_migrate.operations.rollback import RollbackOptions
from tracseq_migrate.operations.rollback import preview as way_back
from tracseq_migrate.operations.status import status
from tracseq_migrate.ports import Draft

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def test_this_version_or_one_before_it_is_stored(version: str) -> None:
    released = [int(part) for part in version.split(".")]
    assert "0.1.0" in VERSIONS
    assert released <= [int(part) for part in __version__.partition("-")[0].split(".")]


def test_the_chain_holds_and_folds_to_the_stored_state(version: str) -> None:
    with stored(version) as system:
        assert chain.verify_records(system.store.records()).broken is None
        state = replay(system.store.read())
    expected = json.loads((FIXTURES / version / "state.json").read_text())
    assert differences(expected, json.loads(json.dumps(plain(state)))) == []
    assert state.unknown == 0


def test_a_difference_would_be_found(version: str) -> None:
    expected = json.loads((FIXTURES / version / "state.json").read_text())
    other = json.loads(json.dumps(expected))
    other["weeks"]["week1"]["status"] = "residue"
    del other["weeks"]["week1"]["digest"]
    other["obligations"]["new"] = {}
    assert differences(expected, other) == [
        "state.weeks.week1.digest is gone",
        "state.weeks.week1.status: 'proven' was 'residue'",
    ]


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("# ", "## ", "### "))]


def test_the_log_has_the_same_sections(version: str) -> None:
    old = (FIXTURES / version / "log.md").read_bytes()
    with stored(version) as system:
        text = render(system.store.read(), environment=system.environment)
    assert headings(text) == headings(old.decode())
    was, now = recognise(old), recognise(text.encode())
    assert was is not None
    assert now is not None
    assert (was.seq, was.head) == (now.seq, now.head)


def test_the_commands_that_look_show_it(version: str) -> None:
    with stored(version) as system:
        weeks = {line.week: line for line in status(system).weeks}
        assert (weeks["week1"].state, weeks["week2"].state) == ("proven", "waiting")
        assert status(system).unknown_events == 0
        assert verify_chain(system).broken_at is None
        assert preview(system, "week2", offline=True).state == "waiting"
        assert way_back(system, "week2", RollbackOptions(), ask=False).steps
        assert "week2 (waiting)" in way_back(system, "week1", RollbackOptions(), ask=False).refused


def test_it_can_be_appended_to(version: str) -> None:
    with stored(version) as system:
        before = list(system.store.records())
        approve(system, "week2", "team-informed", evidence="told them", claimed="")
        assert list(system.store.records())[:-1] == before
        assert chain.verify_records(system.store.records()).broken is None


def test_its_export_is_still_read(version: str) -> None:
    moved = parse("export", (FIXTURES / version / "export.jsonl").read_bytes(), environment="sandbox")
    with stored(version) as system:
        assert list(system.store.records()) == moved.records
        assert sorted(map(chain.digest_of_body, moved.bodies)) == system.store.attached()


def test_what_a_newer_version_wrote_is_counted_and_named(version: str) -> None:
    """The other direction: an event of a type that this version does not know changes nothing else."""
    with stored(version) as system:
        before = replay(system.store.read())
        newer = Draft("soak.window", "week1", before.week("week1").run_id, "flags", {"gap": [1, 2]})
        system.store.append([newer, newer], epoch=None, at=World().clock.now())
        view = status(system)
        assert view.unknown_events == 2
        after = replay(system.store.read())
        assert replace(after, events=0, head="", last_at=None, unknown=0) == replace(
            before, events=0, head="", last_at=None
        )
        assert "2 events" in render(system.store.read(), environment="sandbox")
