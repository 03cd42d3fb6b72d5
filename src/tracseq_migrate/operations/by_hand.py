"""``rollback --print-manual``: the way back as a person types it, from the journal alone.

Nothing is asked of anybody, and nothing else has to be there: no gateway, no plan, no environment file. What is missing is said.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from tracseq_migrate.errors import NotAllowed, Residue, TracseqMigrateError, UsageError
from tracseq_migrate.frozen import frozen
from tracseq_migrate.journal import chain
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import State, StepRecord, WeekState, WeekStatus, replay
from tracseq_migrate.operations.order import shown, standing_on
from tracseq_migrate.operations.system import PROGRAM
from tracseq_migrate.operations.views import Header, ManualStep, RollbackView
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import Event, JournalStore, LeaseInfo, Route
from tracseq_migrate.step import BY_HAND, NO_HANDS, EffectKind, Hands

_TOOL = re.compile(r"(?:^|[\s(|])(supervisorctl|curl|python3|sed|grep)\s")


@frozen
class Remains:
    """What is still there: the journal, and as much of the environment as can be read."""

    header: Header
    store: JournalStore
    holder: Callable[[], LeaseInfo | None]
    routes: Mapping[str, Route] = field(default_factory=dict)
    hands: Hands = NO_HANDS
    unseen: Sequence[str] = ()
    """What could not be looked at, and why."""
    options: str = ""


def by_hand(remains: Remains, week: str, *, to: str = "") -> RollbackView:
    """What to type; ``to`` names the last step that stays.

    Raises:
        NotAllowed: the journal does not know the week.
        Residue: nor does it any more, because it has lost events.
        UsageError: the week has no step ``to``.
        TracseqMigrateError: there is no journal, or it cannot be read at all.
    """
    unseen = list(remains.unseen)
    events = list(remains.store.read())
    broken = chain.verify(events).broken
    if broken:
        unseen.append(
            f"the journal is broken at event {broken.seq} ({broken.why}): what follows may be wrong"
        )
    lost = remains.store.lost()
    if lost:
        unseen.append(f"{lost}. Steps that were done later may be missing in what follows")
    known = replay(events)
    if week not in known.weeks:
        names = ", ".join(sorted(known.weeks)) or "no week at all"
        if lost:
            raise Residue(
                f"the way back of {week} is not in the journal, which has lost events: {lost}",
                state=f"Whether {week} is in force cannot be told from here. Nothing was changed.",
                hint=f"`{PROGRAM} state import FILE`, or `{PROGRAM} state adopt {week}`, which looks at what is so.",
            )
        raise NotAllowed(
            f"{week} was never run in environment {remains.header.environment}: there is nothing to go back from",
            hint=f"The journal in {remains.store.location} knows {names}.",
        )
    state = known.week(week)
    hands = _journaled(events, state) or remains.hands
    if hands == NO_HANDS:
        unseen.append("how processes are started here is not known: that is said in words")
    lock = _holder(remains, unseen)
    if lock is not None:
        who = f"{lock.holder.person} on {lock.holder.host}, pid {lock.holder.pid}"
        unseen.append(f"a run is at work now ({who}): stop it before you type any of this")
    if any(record.undo.get("manifests") for record in state.completed_steps()):
        unseen.append(
            "what users wrote on the new side was not counted; it stays in the services' databases, and is hidden then"
        )
    steps = _steps(state, to, remains.routes, hands, unseen)
    refused, follow = _refused(known, state)
    return RollbackView(
        remains.header,
        state.week,
        state.title,
        str(shown(state, lock)),
        steps,
        [],
        [],
        refused,
        " ".join(filter(None, (PROGRAM, remains.options, follow))),
        unseen,
    )


def _journaled(events: Sequence[Event], state: WeekState) -> Hands | None:
    """What the run itself wrote down, with the environment as it was then."""
    for event in reversed(events):
        if event.type == v.RUN_STARTED and event.run_id == state.run_id and event.data.get("by_hand"):
            return Hands.from_document(event.data["by_hand"])
    return None


def _holder(remains: Remains, unseen: list[str]) -> LeaseInfo | None:
    try:
        return remains.holder()
    except TracseqMigrateError as error:
        unseen.append(f"whether a run is at work now: {error.message}")
        return None


def _steps(
    state: WeekState, to: str, routes: Mapping[str, Route], hands: Hands, unseen: list[str]
) -> list[ManualStep]:
    if not state.plan:
        return []
    try:
        entries = {entry.id: entry for entry in WeekPlan.from_document(state.plan).entries()}
    except (TracseqMigrateError, ValueError, KeyError, TypeError) as error:
        unseen.append(
            f"this version cannot read the journaled plan ({error}): each step's undo is shown as it is"
        )
        entries = {}
    order = list(entries)
    if to and to not in entries:
        raise UsageError(f"{state.week} has no step {to}; its steps are: {', '.join(order)}")
    keep = set(order[: order.index(to) + 1]) if to else set()
    found = []
    for record in state.completed_steps():
        if record.id in keep or record.effect == str(EffectKind.NONE):
            continue
        found.append(_of_step(record, entries.get(record.id), routes, hands))
    return [
        ManualStep(each.step, each.title, _guarded(each.lines, number, len(found), hands.folder))
        for number, each in enumerate(found, 1)
    ]


def _guarded(lines: Sequence[str], number: int, count: int, folder: str) -> list[str]:
    """One step, that stops at the first line that fails, and the steps after it then too: typed one by one, or all at once.

    A shell of its own ends, not the person's. It stands in no list of ``&&`` or ``||``, where bash would not heed ``set -e``.
    """
    tools = sorted({tool for line in lines if not line.startswith("#") for tool in _TOOL.findall(line)})
    left = f"stopped in step {number} of {count} of the way back, and nothing after it is done: "
    left += "mend what is said above and type this step again, or do what is left of it by hand, "
    left += f"type way_back={number}, and go on"
    body = [
        f"[ ${{way_back:-0}} -ge {number - 1} ] || {{ echo 'step {number - 1} comes first' >&2; false; }}",
        *([f"cd {shlex.quote(folder)}"] if folder else []),
        *([f"type {' '.join(tools)} > /dev/null  # without them nothing is begun"] if tools else []),
        *lines,
        *(
            ["false  # what is said above is for a person"]
            if any(x.startswith(BY_HAND) for x in lines)
            else []
        ),
    ]
    if number == 1:
        del body[0]
    # What stands from an earlier way back lets no later step go ahead of the first.
    begun = ["way_back=0"] if number == 1 else []
    end = f"); [ $? -eq 0 ] && way_back={number} || {{ echo {shlex.quote(left)} >&2; false; }}"
    return [*begun, f"( set -e  # step {number} of {count}", *body, end]


def _of_step(
    record: StepRecord, entry: StepEntry | None, routes: Mapping[str, Route], hands: Hands
) -> ManualStep:
    title = entry.title if entry else record.id
    doubt = [] if record.status.settled else ["# in doubt: look first whether it is in force at all"]
    try:
        lines = entry.step.manual(record.undo, routes, hands) if entry else []
    except (KeyError, TypeError, ValueError, AttributeError):
        lines = []
    if not lines:
        undo = json.dumps(record.undo, ensure_ascii=False, sort_keys=True, default=str)
        lines = [f"{BY_HAND}put back what was before: {undo}"]
    return ManualStep(record.id, title, [*doubt, *lines])


def _refused(known: State, state: WeekState) -> tuple[str, str]:
    """Why this is not the time, and the command that follows when the tool can be used again."""
    if state.status is WeekStatus.ROLLED_BACK:
        return f"{state.week} is rolled back already", "status"
    if state.status is WeekStatus.COMPLETED:
        return f"{state.week} is completed: its way back was given up, for ever", "status"
    later = standing_on(known, state.week)
    if later:
        names = ", ".join(f"{each.week} ({each.status})" for each in later)
        return f"later weeks stand on {state.week}, and go back first: {names}", f"rollback {later[0].week}"
    return "", f"rollback {state.week}"
