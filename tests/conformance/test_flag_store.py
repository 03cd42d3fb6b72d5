"""One suite for every `FlagStore`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.adapters.memory.flags import MemoryFlagStore
from tracseq_migrate.errors import InvalidSetup, StepFailed
from tracseq_migrate.ports import FlagStore

A, B, C = "USE_AUTH_SERVICE", "USE_SAMPLE_SERVICE", "USE_STORAGE_SERVICE"


class World(Protocol):
    """A store together with the way to look behind it."""

    store: FlagStore

    def put(self, text: str | None) -> None: ...

    def text(self) -> str: ...


class MemoryWorld:
    def __init__(self, folder: Path) -> None:
        self.store = MemoryFlagStore(names=[A, B, C])

    def put(self, text: str | None) -> None:
        self.store.text = text

    def text(self) -> str:
        assert self.store.text is not None
        return self.store.text


class FileWorld:
    mode = "auto"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "flags.env"
        self.path.write_bytes(b"")
        self.store = self.make()

    def make(self) -> DotenvFlagStore:
        return DotenvFlagStore(self.path, names=[A, B, C])

    def put(self, text: str | None) -> None:
        if text is None:
            self.path.unlink()
        else:
            self.path.write_bytes(text.encode())

    def text(self) -> str:
        # Nothing but the file itself is ever left in its folder.
        assert [entry.name for entry in self.path.parent.iterdir()] == [self.path.name]
        return self.path.read_bytes().decode()


class InPlaceWorld(FileWorld):
    def make(self) -> DotenvFlagStore:
        return DotenvFlagStore(self.path, names=[A, B, C], write="in-place")


@pytest.fixture(params=[MemoryWorld, FileWorld, InPlaceWorld], ids=["memory", "atomic", "in-place"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    make: Callable[[Path], World] = request.param
    return make(tmp_path)


def values(world: World) -> Mapping[str, str]:
    return world.store.read().values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (f"{A}=true\n", {A: "true"}),
        (f"{A}=true", {A: "true"}),
        (f"{A}=true\r\n{B}=false\r\n", {A: "true", B: "false"}),
        (f"export {A}=true\n", {A: "true"}),
        (f"{A}=\"true\"\n{B}='no'\n", {A: "true", B: "no"}),
        (f"{A} = true # because\n", {A: "true"}),
        (f"{A}=true#c\n", {A: "true#c"}),
        (f"{A}=\n", {A: ""}),
        (f"{A}\n", {}),
        (f"{A}: true\n", {}),
        (f"# {A}=true\n", {}),
        (f"{A}=true\n{A}=false\n", {A: "false"}),
        (f"{A}=true\n{A.lower()}=false\n", {A: "false"}),
        # The spelling that came up last counts, with its last value: the gateway's mapping keeps the first place.
        (f"{A}=1\n{A.lower()}=2\n{A}=3\n", {A: "2"}),
        (f"FEATURE_FLAGS__{A}=true\n{A}=false\n", {A: "true"}),
        (f"{A}=false\nfeature_flags__{A.lower()}=true\n", {A: "true"}),
        (f"\ufeff{A}=true\n", {A: "true"}),
        ("PASSWORD=secret\n", {}),
        (f'TEXT="several\n{A}=true\nlines"\n{B}=1\n', {B: "1"}),
    ],
)
def test_reading(world: World, text: str, expected: dict[str, str]) -> None:
    world.put(text)
    assert values(world) == expected
    assert world.text() == text


def test_lines_count_from_one_and_name_the_line_that_wins(world: World) -> None:
    world.put(f"# head\n\n{A}=true\n\n\n  {B}=1\n{A}=false\n")
    assert world.store.read().lines == {A: 7, B: 6}


def test_entries_are_the_text_as_written(world: World) -> None:
    world.put(f"\n\n  export {A} = 'true'  # why\r\n{B}=1")
    assert world.store.read().entries == {A: f"  export {A} = 'true'  # why", B: f"{B}=1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{A}=false\n", f"{A}=true\n"),
        (f"{A}=false", f"{A}=true"),
        (f"# c\r\n\r\n{A}=false\r\n{B}=1\r\n", f"# c\r\n\r\n{A}=true\r\n{B}=1\r\n"),
        (f"export  {A} = 'false'   # off\n", f"export  {A} = 'true'   # off\n"),
        (f'{A}="no" # "quoted"\n', f'{A}="true" # "quoted"\n'),
        (f"{A}=false # c\n", f"{A}=true # c\n"),
        (f"{A}= false\t# c\n", f"{A}= true\t# c\n"),
        (f"{A}=   \n", f"{A}=   true\n"),
        (f"{A}= # nothing\n", f"{A}= true # nothing\n"),
        (f"{A}=\r\n", f"{A}=true\r\n"),
        (f"{A}=false#c\n", f"{A}=true\n"),
        (f'{A}=" false "\n', f'{A}="true"\n'),
        (f"{A}=1\n{A}=2\n", f"{A}=1\n{A}=true\n"),
        (f"{A}=1\n{A.lower()}=2\n", f"{A}=1\n{A.lower()}=true\n"),
        (f"FEATURE_FLAGS__{A}=0\n{A}=1\n", f"FEATURE_FLAGS__{A}=true\n{A}=1\n"),
        (f"'{A}'=false\n", f"'{A}'=true\n"),
        (f"\ufeff{A}=false\n", f"\ufeff{A}=true\n"),
        (f'X="a\nb"\n{A}=0\nY="c\nd"\n', f'X="a\nb"\n{A}=true\nY="c\nd"\n'),
        ("", f"{A}=true\n"),
        ("X=1\n", f"X=1\n{A}=true\n"),
        ("X=1", f"X=1\n{A}=true"),
        ("X=1\r\nY=2", f"X=1\r\nY=2\r\n{A}=true"),
        ("X=1\r\n", f"X=1\r\n{A}=true\r\n"),
        (f"# {A}=false\n", f"# {A}=false\n{A}=true\n"),
        (f"{A}: false\n", f"{A}: false\n{A}=true\n"),
        (f"{A}\n", f"{A}\n{A}=true\n"),
    ],
)
def test_there_and_back_again(world: World, text: str, expected: str) -> None:
    world.put(text)
    before = world.store.read()
    assert world.store.preview({A: "true"}).after == expected
    assert world.text() == text
    after = world.store.write({A: "true"}, expected=before.digest)
    assert world.text() == expected
    assert after == world.store.read()
    assert after.values[A] == "true"
    # Back to the letter, by what was read before the first write.
    world.store.write({A: before.entries.get(A)}, expected=after.digest)
    assert world.text() == text
    assert world.store.read() == before
    # And there again.
    world.store.write({A: "true"}, expected=before.digest)
    assert world.text() == expected


def test_several_flags_at_once_and_back(world: World) -> None:
    text = f"{A}=false\nX=1\n{B}='0' # keep"
    world.put(text)
    before = world.store.read()
    after = world.store.write({A: "true", B: "true", C: "true"}, expected=before.digest)
    assert world.text() == f"{A}=true\nX=1\n{B}='true' # keep\n{C}=true"
    world.store.write({flag: before.entries.get(flag) for flag in (A, B, C)}, expected=after.digest)
    assert world.text() == text


def test_a_change_by_others_in_between_stays(world: World) -> None:
    world.put(f"{A}=false\n")
    before = world.store.read()
    world.store.write({A: "true", C: "true"}, expected=before.digest)
    world.put(world.text().replace(f"{A}", f"NEW=1\n{A}") + "LATER=2\n")
    world.store.write({A: before.entries[A], C: None}, expected=world.store.read().digest)
    assert world.text() == f"NEW=1\n{A}=false\nLATER=2\n"


def test_an_entry_taken_out_meanwhile_comes_back(world: World) -> None:
    world.put(f"{A}='false' # why\n")
    before = world.store.read()
    world.put("X=1\n")
    world.store.write({A: before.entries[A]}, expected=world.store.read().digest)
    assert world.text() == f"X=1\n{A}='false' # why\n"


def test_taking_away_what_is_not_there_changes_nothing(world: World) -> None:
    world.put("X=1")
    world.store.write({A: None}, expected=world.store.read().digest)
    assert world.text() == "X=1"


def test_compare_and_swap(world: World) -> None:
    world.put(f"{A}=false\n")
    digest = world.store.read().digest
    world.put(f"{A}=false\n# by somebody\n")
    with pytest.raises(StepFailed, match="changed by somebody else") as caught:
        world.store.write({A: "true"}, expected=digest)
    assert not caught.value.unknown
    assert world.text() == f"{A}=false\n# by somebody\n"


@pytest.mark.parametrize(
    "entry", ["", "two words", 'a"b', "a'b", "a#b", "$X", "${X}", "a\nb", "tr\\ue", "\r"]
)
def test_a_value_that_could_be_misread_is_refused(world: World, entry: str) -> None:
    world.put(f"{A}=false\n")
    with pytest.raises(StepFailed, match="no value"):
        world.store.write({A: entry}, expected=world.store.read().digest)
    with pytest.raises(InvalidSetup, match="no value"):
        world.store.preview({A: entry})
    assert world.text() == f"{A}=false\n"


@pytest.mark.parametrize(
    "entry",
    [f"{B}=true", f"{A}=true\n{B}=true", f"{A}=true\n", f"# {A}=true", f"{A}='true", f"{A}: a=b", "=true"],
)
def test_an_entry_of_something_else_is_refused(world: World, entry: str) -> None:
    world.put(f"{A}=false\n")
    with pytest.raises(StepFailed, match="no entry"):
        world.store.write({A: entry}, expected=world.store.read().digest)
    assert world.text() == f"{A}=false\n"


def test_a_change_that_would_not_count_is_refused(world: World) -> None:
    # A plain entry in the nested one's place would lose against the other spelling below it.
    text = f"FEATURE_FLAGS__{A}=1\n{A.lower()}=0\n"
    world.put(text)
    with pytest.raises(StepFailed, match="another line of the file wins"):
        world.store.write({A: f"{A}=true"}, expected=world.store.read().digest)
    assert world.text() == text


def test_an_unreadable_line_does_not_hinder_a_change(world: World) -> None:
    world.put(f'X="open\n{B}=1\n')
    world.store.write({A: "true"}, expected=world.store.read().digest)
    assert values(world) == {A: "true", B: "1"}


def test_an_open_quote_that_a_change_would_close_is_refused(world: World) -> None:
    text = f"{A}=false\nX='open\n"
    world.put(text)
    entry = f"{B}='it'"
    with pytest.raises(StepFailed, match="without changing other lines"):
        world.store.write({B: entry}, expected=world.store.read().digest)
    assert world.text() == text


def test_preview_shows_the_change_and_hides_other_values(world: World) -> None:
    world.put(f"# head\nPASSWORD=hunter2\n{A}=false # off\nTOKEN='s3cret\nmore'\n")
    change = world.store.preview({A: "true"})
    assert f"-{A}=false # off\n+{A}=true # off\n" in change.diff
    assert "PASSWORD=…" in change.diff
    assert "hunter2" not in change.diff
    assert "s3cret" not in change.diff
    assert "more" not in change.diff
    assert world.store.preview({A: "false"}).diff == ""


def test_a_missing_store(world: World) -> None:
    world.put(None)
    for ask in (
        world.store.read,
        lambda: world.store.preview({A: "true"}),
        lambda: world.store.findings({A: True}),
    ):
        with pytest.raises(InvalidSetup, match="does not exist"):
            ask()
    with pytest.raises(StepFailed, match="does not exist"):
        world.store.write({A: "true"}, expected="")


@pytest.mark.parametrize(
    "text",
    [
        f"{A}=false\n{B}=true\n",
        f"export {A}='ON' # c\r\n",
        f"{A}=f\n{B}=Y\n{C}=0\n",
        "",
        f"# {A}: true\n",
        "X=maybe\n",
        # What makes a line lose matters for the flags that are asked about.
        f"{B}=true\n{B}=false\n{C}: true\n",
        f"\ufeff# head\n{A}=true\n",
    ],
)
def test_no_findings(world: World, text: str) -> None:
    world.put(text)
    assert world.store.findings({A: True}) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f"{A}=true#c\n", 1, "does not start"),
        (f"\n{A}=\n", 2, "does not start"),
        (f'{A}=" true"\n', 1, "' true'"),
        (f"{A}=enabled\n", 1, "'enabled'"),
        (f"{A}=2\n", 1, "does not start"),
        (f'X=1\n{A}="true\r\n"\n', 2, "does not start"),
        (f"{A}=${{OTHER}}\n", 1, "another variable"),
        (f"{A}: true\n", 1, "ignores this line"),
        (f"  export {A.lower()}: true\n", 1, "ignores this line"),
        (f"{A}='true\n", 1, "ignores this line"),
        (f"{A}\n", 1, "no `=`"),
        (f"X='open\n{A}=true\nY=it's\n", 1, "inside of a quoted value"),
        (f"X='open\n{A}=true\nY=it'\n", 1, "inside of a quoted value"),
        (f"\ufeff{A}=true\n", 1, "byte order mark"),
        ('FEATURE_FLAGS={"use_auth_service": true}\n', 1, "all at once"),
        (f"X=1\n{C}=perhaps\n", 2, "does not start"),
    ],
)
def test_findings(world: World, text: str, line: int, words: str) -> None:
    world.put(text)
    (finding,) = world.store.findings({A: True})
    assert finding.startswith(f"{world.store.location}:{line}: ")
    assert words in finding
    assert finding.endswith(")")


@pytest.mark.parametrize(
    "text",
    [
        f"{A}=true\nX=1\n{A}=false\n",
        f"{A.lower()}=true\n{A}=false\n",
        f"FEATURE_FLAGS__{A}=false\n{A}=true\n",
        f"{A}=perhaps\n{A}=false\n",
    ],
)
def test_a_line_that_loses_is_no_finding_and_the_winner_is_changed(world: World, text: str) -> None:
    world.put(text)
    assert world.store.findings({A: True}) == []
    changed = world.store.write({A: "true"}, expected=world.store.read().digest)
    assert changed.values[A] == "true"
