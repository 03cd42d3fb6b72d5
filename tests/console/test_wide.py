"""The layout without rich says what the one with rich says, wherever it says anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console.samples import NOW, VIEWS
from tracseq_migrate.console.blocks import Bar, Block, Command, Diff, Heading, Paragraph, Rows, Space
from tracseq_migrate.console.documents import Look, blocks_of
from tracseq_migrate.console.ink import ASCII, UNICODE, Ink, Marks, Tone
from tracseq_migrate.console.layout import lay_out
from tracseq_migrate.console.terminal import PIPE_COLUMNS, Depth
from tracseq_migrate.console.wide import lay_out_wide

WORDS = st.text(st.sampled_from("ab  ·→✓━é漢\t\n\x1b\u200b"), max_size=12)
TONES = st.sampled_from(Tone)
LINES = st.lists(WORDS | st.tuples(WORDS, TONES), max_size=3)
INDENTS = st.integers(0, 5)


@st.composite
def tables(draw: st.DrawFn) -> Rows:
    width = draw(st.integers(1, 4))
    head = tuple(draw(st.lists(st.sampled_from(["", "name", "x"]), min_size=width, max_size=width)))
    rows = draw(st.lists(st.tuples(*[LINES] * width), max_size=4))
    return Rows(head, rows, draw(INDENTS))


BLOCKS: st.SearchStrategy[Block] = st.one_of(
    st.builds(Heading, WORDS),
    st.just(Space()),
    st.builds(Paragraph, LINES, st.none() | st.tuples(st.sampled_from("✓!·"), TONES), INDENTS),
    st.builds(Command, LINES, INDENTS),
    st.builds(Bar, st.integers(0, 100), st.sampled_from(["", "progress"])),
    st.builds(Diff, WORDS, INDENTS),
    tables(),
)


@given(st.lists(BLOCKS, max_size=3), st.sampled_from([20, 40, 200, PIPE_COLUMNS]))
def test_both_layouts_agree(blocks: list[Block], columns: int) -> None:
    text = lay_out_wide(blocks, Ink(), columns)
    if text is not None:
        assert text == lay_out(blocks, Ink(), columns)


@pytest.mark.parametrize("name", sorted(VIEWS))
@pytest.mark.parametrize("marks", [UNICODE, ASCII])
def test_both_agree_on_every_document(name: str, marks: Marks) -> None:
    blocks = blocks_of(VIEWS[name], Look(marks, NOW))
    text = lay_out_wide(blocks, Ink(marks=marks), PIPE_COLUMNS)
    if text is not None:
        assert text == lay_out(blocks, Ink(marks=marks), PIPE_COLUMNS)


def test_a_pipe_has_room_for_the_common_documents() -> None:
    for name in ("status", "plan"):
        found = [view for key, view in VIEWS.items() if key.startswith(name)]
        assert found
        blocks = [block for view in found for block in blocks_of(view, Look(UNICODE, NOW))]
        assert any(lay_out_wide([block], Ink(), PIPE_COLUMNS) is not None for block in blocks)


def test_colours_and_folding_are_left_to_rich() -> None:
    words = Paragraph(("word " * 30,))
    assert lay_out_wide([words], Ink(Depth.FULL), PIPE_COLUMNS) is None
    assert lay_out_wide([words], Ink(), 40) is None
    assert lay_out_wide([Paragraph(("漢字",))], Ink(), PIPE_COLUMNS) is None
    assert lay_out_wide([words], Ink(), PIPE_COLUMNS) == ("word " * 30).rstrip() + "\n"
