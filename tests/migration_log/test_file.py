"""What may be overwritten: our own last render, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.migration_log.stories import TOLD, journal, started
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles
from tracseq_migrate.migration_log.file import Written, recognise, write_log
from tracseq_migrate.migration_log.rendering import render
from tracseq_migrate.ports import Event, Files

RENDERED = render(TOLD, environment="sandbox")


def heads(events: list[Event]) -> Callable[[int], str | None]:
    return lambda seq: events[seq - 1].hash if 0 < seq <= len(events) else None


@pytest.fixture(params=["memory", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, Path]:
    files: Files = LocalFiles() if request.param == "local" else MemoryFiles()
    return files, tmp_path / "MIGRATION_LOG.md"


def test_written_once_and_not_again(place: tuple[Files, Path]) -> None:
    files, path = place
    assert write_log(files, path, RENDERED, known_heads=heads(TOLD)) == Written(changed=True)
    assert write_log(files, path, RENDERED, known_heads=heads(TOLD)) == Written(changed=False)
    assert files.read(path) == RENDERED.encode()


def test_every_earlier_render_gives_way_to_the_next(place: tuple[Files, Path]) -> None:
    files, path = place
    for end in range(0, len(TOLD) + 1, 4):
        text = render(TOLD[:end], environment="sandbox")
        assert write_log(files, path, text, known_heads=heads(TOLD)) == Written(changed=True)
        assert files.read(path) == text.encode()


def test_a_later_render_is_not_overwritten_by_an_earlier_one(place: tuple[Files, Path]) -> None:
    files, path = place
    write_log(files, path, RENDERED, known_heads=heads(TOLD))
    early = render(TOLD[:5], environment="sandbox")
    assert write_log(files, path, early, known_heads=heads(TOLD)) == Written(changed=False)
    assert files.read(path) == RENDERED.encode()


OTHER = journal([started("week9", "R9")])


@pytest.mark.parametrize(
    "there",
    [
        b"# my own notes\n",
        b"\xff\xfe binary",
        RENDERED.encode().replace(b"rag runs", b"rag ran!"),
        RENDERED.encode() + b"\nappended\n",
        RENDERED.encode()[:-1],
        RENDERED.encode().replace(b"\n", b"\r\n"),
        render(OTHER, environment="sandbox").encode(),
    ],
    ids=["notes", "binary", "edited", "appended", "cut", "crlf", "another journal"],
)
def test_anything_else_is_kept_aside(place: tuple[Files, Path], there: bytes) -> None:
    files, path = place
    files.write(path, there)
    written = write_log(files, path, RENDERED, known_heads=heads(TOLD))
    assert written.changed
    assert written.kept_aside is not None
    assert files.read(written.kept_aside) == there
    assert files.read(path) == RENDERED.encode()
    again = write_log(files, path, render(TOLD[:3], environment="x"), known_heads=heads(TOLD))
    assert again == Written(changed=False)


def test_an_empty_file_holds_nothing_to_keep(place: tuple[Files, Path]) -> None:
    files, path = place
    files.write(path, b"")
    assert write_log(files, path, RENDERED, known_heads=heads(TOLD)) == Written(changed=True)


def test_a_folder_in_its_place_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "MIGRATION_LOG.md"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_log(LocalFiles(), path, RENDERED, known_heads=heads(TOLD))
    assert path.is_dir()


@given(st.binary(max_size=200))
def test_no_other_bytes_are_recognised(body: bytes) -> None:
    assert recognise(body) is None


@given(st.integers(0, len(RENDERED.encode()) - 1), st.integers(1, 255))
def test_one_changed_byte_is_noticed(place_of: int, change: int) -> None:
    body = bytearray(RENDERED.encode())
    body[place_of] ^= change
    found = recognise(bytes(body))
    # In the footer a changed number or head is still a footer, but not one of this journal.
    assert found is None or heads(TOLD)(found.seq) != found.head
