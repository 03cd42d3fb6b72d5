"""What every case is held against: whatever the weather, the run ends, the truth is known, and one command works."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.suite import Tally, Wrong
from tests.chaos.weather.hamlet import FLAG, FLAGS, Hamlet
from tests.e2e.driving import Outcome

RUN = ("run", "try", "--yes")
ROLLBACK = ("rollback", "try")
ENDS = frozenset({0, 1, 4, 5, 6, 7})
"""How a run may end in bad weather; 0 only where all that it promises holds."""


@dataclass(frozen=True)
class Weather:
    """A run (or rollback) in bad weather, and what it may end in.

    Args:
        begin: makes the weather, immediately before the call.
        end: makes it good again; `Hamlet.clear` is called besides.
        argv: what is typed in it; for ``rollback`` a run comes before, in good weather.
        says: texts of which one must be in what it writes where it does not end with 0.
        codes: how it may end.
        prefix, limits, before, variables: of `Hamlet.tool`, for the call in bad weather.
        looks: whether `status` must work before the weather is over.
        mine: the flag file is not as before in the end, because the case itself changed it.
    """

    begin: Callable[[Hamlet], None] = lambda _: None
    end: Callable[[Hamlet], None] = lambda _: None
    argv: Sequence[str] = RUN
    says: Sequence[str] = ()
    codes: frozenset[int] = ENDS
    prefix: Sequence[str] = ()
    limits: Mapping[int, int] = field(default_factory=dict)
    before: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    looks: bool = True
    mine: bool = False
    fresh: Callable[[Hamlet], None] = lambda hamlet: emptied(hamlet)


def emptied(hamlet: Hamlet) -> None:
    """An empty project folder."""
    shutil.rmtree(hamlet.folder, ignore_errors=True)
    hamlet.folder.mkdir()


def endure(hamlet: Hamlet, weather: Weather) -> Tally:
    """Carry a case out and judge it.

    Raises:
        Wrong: something that must never be was seen.
    """
    hamlet.clear()
    weather.fresh(hamlet)
    hamlet.new()
    if weather.argv[0] == "rollback":
        sound(hamlet.tool(*RUN), 0)
    weather.begin(hamlet)
    try:
        outcome = hamlet.tool(
            *weather.argv,
            prefix=weather.prefix,
            limits=weather.limits,
            before=weather.before,
            **weather.variables,
        )
        _judge(hamlet, weather, outcome)
        if weather.looks:
            sound(hamlet.tool("status"), 0)
    finally:
        weather.end(hamlet)
        hamlet.clear()
    counts = {f"exit {outcome.code}": 1}
    counts |= {f"then {command}": 1 for command in _recover(hamlet, weather, outcome)}
    _as_before(hamlet, weather)
    return Tally(1, counts)


def sound(outcome: Outcome, *codes: int) -> Outcome:
    """A call that ended as it may, without a trace or a bug of ours."""
    text = outcome.out + outcome.err
    if codes and outcome.code not in codes:
        raise Wrong(f"it ended with {outcome.code}, not one of {codes}: {outcome}")
    for never in ("Traceback", "a bug of ours", "ResourceWarning"):
        if never in text:
            raise Wrong(f"it says {never!r}: {outcome}")
    return outcome


def _judge(hamlet: Hamlet, weather: Weather, outcome: Outcome) -> None:
    sound(outcome, *sorted(weather.codes))
    if outcome.code == 0:
        wanted = weather.argv[0] == "run"
        if not weather.mine and (
            hamlet.gateway.flags["rag"] is not wanted or hamlet.declared() != str(wanted).lower()
        ):
            raise Wrong(
                f"it says that it is done, and it is not: {hamlet.declared()}, {hamlet.gateway.flags}; {outcome}"
            )
        return
    if outcome.err.count("  state: ") != 1 or f"docs/runbook.md#exit-{outcome.code}" not in outcome.err:
        raise Wrong(f"it does not say what state things are in, or where more is to be read: {outcome}")
    if weather.says and not any(text in outcome.out + outcome.err for text in weather.says):
        raise Wrong(f"it says none of {weather.says}: {outcome}")


def _recover(hamlet: Hamlet, weather: Weather, outcome: Outcome) -> list[str]:
    """One command goes on or back, after the weather is over; returns which."""
    command: tuple[str, ...]
    match outcome.code, weather.argv[0]:
        case 0, _:
            return []
        case 5, _:
            if hamlet.state() not in ("rolled-back", "never-run"):
                raise Wrong(f"it says that everything was rolled back: {outcome}")
            if not weather.mine and hamlet.flag_file.read_text() != FLAGS:
                raise Wrong(f"the flag file is not as before: {hamlet.flag_file.read_text()!r}; {outcome}")
            command = RUN
        case (6 | 7, "rollback") | (6, _):
            command = ROLLBACK
        case 7, _:
            command = ("resume", "try")
        case ((1 | 4), words):
            command = RUN if words == "run" else ROLLBACK
        case _:
            raise Wrong(f"nothing is known to type next: {outcome}")
    if command[0] == "resume" and hamlet.state() in ("never-run", "rolled-back", "proven"):
        raise Wrong(f"it says that it is in doubt, and status does not: {outcome}")
    said = sound(hamlet.tool(*command))
    if said.code:
        raise Wrong(f"after {outcome}\n-> the one command does not work: {said}")
    return [command[0]]


def _as_before(hamlet: Hamlet, weather: Weather) -> None:
    """Wherever it stands now: going back leads to where it began, and the journal is whole."""
    state = hamlet.state()
    if state == "proven":
        if hamlet.gateway.flags["rag"] is not True:
            raise Wrong("the week is proven, and the gateway does not follow")
        sound(hamlet.tool(*ROLLBACK), 0)
    elif state not in ("rolled-back", "never-run"):
        raise Wrong(f"in the end the week is {state}")
    off = ("false", None) if weather.mine else ("false",)
    if hamlet.gateway.flags["rag"] is not False or hamlet.declared() not in off:
        raise Wrong(
            f"in the end the flag {FLAG} is {hamlet.declared()}, and effective {hamlet.gateway.flags}"
        )
    if not weather.mine and hamlet.flag_file.read_text() != FLAGS:
        raise Wrong(f"in the end the flag file is {hamlet.flag_file.read_text()!r}")
    left = [entry.name for entry in hamlet.flag_file.parent.iterdir() if entry.name.startswith(".")]
    if left:
        raise Wrong(f"in the end there is something beside the flag file: {left}")
    hamlet.state()  # the chain of the journal is whole
