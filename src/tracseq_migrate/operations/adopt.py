"""``state adopt``: after a loss of the journal, a week's state is rebuilt from what is so, as evidence and not as assertion.

Every step is asked whether its effect is there. What is seen is journaled as done, with what was seen and with the way back,
as far as that is known or can honestly be assumed; what is not seen is left not done, and what could not be asked stops it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tracseq_migrate.errors import CouldNotReach, NotAllowed, Residue, TracseqMigrateError
from tracseq_migrate.journal import vocabulary as v
from tracseq_migrate.journal.replay import WeekStatus
from tracseq_migrate.migration_log.file import recognise
from tracseq_migrate.operations.context import context
from tracseq_migrate.operations.driving import holding_lease, new_run_id
from tracseq_migrate.operations.keeping import keep_log
from tracseq_migrate.operations.ledger import Ledger
from tracseq_migrate.operations.observer import Warned
from tracseq_migrate.operations.order import missing_needs, standing_on
from tracseq_migrate.operations.system import System
from tracseq_migrate.operations.views import AdoptedStep, AdoptView
from tracseq_migrate.operations.witness import lost
from tracseq_migrate.plan import StepEntry, WeekPlan
from tracseq_migrate.ports import Draft, Record
from tracseq_migrate.step import Adopted, EffectKind, Found

Consent = Callable[[AdoptView], None]
"""Asks whether what would be journaled may be; raises `Declined` or `NotAllowed` where not."""

_NO_SIGNATURES = (
    "signatures of the checklist cannot be rebuilt: before a step that is left can run, they are given again"
)
_SET_ASIDE = "what was left of the journal before is kept beside this one, under names with the time of this"


@dataclass(frozen=True, slots=True)
class AdoptOptions:
    """``keep_running``: services that the plan starts are taken for ones that ran before, and going back leaves them alone."""

    keep_running: bool = False
    lock_timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class _Seen:
    entry: StepEntry
    adopted: Adopted

    @property
    def done(self) -> bool:
        return self.adopted.found is Found.DONE


@dataclass(frozen=True, slots=True)
class _Survey:
    """What was found; ``damage`` says why the journal that is there must be replaced, empty where it need not.

    ``remembered`` is the last event that was acknowledged there.
    """

    plan: WeekPlan
    seen: Sequence[_Seen]
    damage: str
    remembered: tuple[int, str] | None
    log_before: str

    @property
    def state(self) -> WeekStatus:
        if all(each.done for each in self.seen):
            return WeekStatus.PROVEN
        if any(each.done and each.entry.step.effect.kind is not EffectKind.NONE for each in self.seen):
            return WeekStatus.WAITING
        return WeekStatus.NEVER_RUN


class _Nothing:
    """A journal of which nothing can be used."""

    def records(self, after: int = 0) -> Iterator[Record]:
        return iter(())

    def kept_fold(self) -> bytes | None:
        return None


def adopt(system: System, week: str, options: AdoptOptions, consent: Consent) -> AdoptView:
    """Look at every step of a week, and journal what is in force, after ``consent``.

    Raises:
        NotAllowed: the journal knows the week as applied, a week that it needs is not adopted yet, nothing of it is in force,
            or a damaged journal was changed after the question.
        CouldNotReach: a step could not be asked; nothing was journaled.
        Locked: a run holds the lock.
        Residue: the journal was damaged after the question.

    Whatever it raises, the journal that was there is where it was.
    """
    plan = system.shelf.find(week)
    survey = _survey(system, plan, options)
    consent(_view(system, survey, options, written=False))
    if survey.damage:
        return _in_its_place(system, plan, options, survey)
    with holding_lease(system, timeout=options.lock_timeout):
        # Asked again under the lock: what is journaled is what is so while nobody else can change it.
        again = _survey(system, plan, options)
        if again.damage:
            raise Residue(
                again.damage,
                state="Nothing was journaled, and nothing was moved.",
                hint="Look at who writes to the state folder, then try again.",
            )
        ledger = Ledger(system)
        run_id = new_run_id(system)
        ledger.append(*_drafts(system, again, run_id, [_NO_SIGNATURES, *_about_the_log(again)]))
        keep_log(system, ledger, plan.week, run_id)
    return _view(system, again, options, written=True)


def _in_its_place(system: System, plan: WeekPlan, options: AdoptOptions, before: _Survey) -> AdoptView:
    """A new journal with the adopted week in the place of a damaged one, in one move: there is the one or the other.

    What is there witnesses the loss, or cannot be read: its files are kept, and every week begins from reality. While it is
    there and damaged no run begins, so that what is looked at in between stays as it is.
    """
    again = _survey(system, plan, options)
    run_id, at = new_run_id(system), system.clock.now()
    drafts = _drafts(system, again, run_id, [_NO_SIGNATURES, *_about_the_log(again), _SET_ASIDE])
    records = _of_nothing(system).sealed(*drafts, at=at)

    def still() -> None:
        damage, _ = _read(system)
        if (damage, system.store.remembered()) != (before.damage, before.remembered):
            raise NotAllowed(
                f"the journal {system.store.location} is not the one that was looked at: it was changed meanwhile",
                state="Nothing was journaled; the journal was left as it is.",
                hint=f"`{system.type_this('status')}` shows what is there now; "
                f"`{system.type_this(f'state adopt {plan.week}')}` looks again.",
            )

    kept = system.vault.install(records, (), at=at, still=still)
    try:
        keep_log(system, Ledger(system), plan.week, run_id)
    except TracseqMigrateError as error:  # the week is adopted: what comes after cannot undo that
        text = f"the migration log was not written ({error}); `{system.type_this('log render')}` tries again"
        system.observer.emit(Warned(system.clock.now(), text))
    return _view(system, again, options, written=True, kept=kept)


def _of_nothing(system: System) -> Ledger:
    """The ledger where nothing of the journal can be used."""
    return Ledger(replace(system, store=_Nothing()))  # type: ignore[arg-type]  # it is only read


def _read(system: System) -> tuple[str, Ledger]:
    """Why the journal that is there cannot be added to, empty where it can; and what of it can be used."""
    try:
        ledger = Ledger(system)
        damage = lost(system, ledger) if ledger.state.events or system.store.lost() else ""
    except Residue as error:
        damage = error.message
    return damage, _of_nothing(system) if damage else ledger


def _survey(system: System, plan: WeekPlan, options: AdoptOptions) -> _Survey:
    remembered = system.store.remembered()
    damage, ledger = _read(system)
    state = ledger.state.week(plan.week)
    if state.status.applied:
        raise NotAllowed(
            f"the journal knows {plan.week}: it is {state.status}. Only a week that it knows nothing of can be adopted",
            hint=f"`{system.type_this(f'verify {plan.week}')}` asks reality about what is journaled.",
        )
    _refuse_order(system, ledger, plan)
    seen = [_look(system, ledger, plan, entry, options) for entry in plan.entries()]
    survey = _Survey(plan, seen, damage, remembered, _log_before(system, ledger))
    _refuse(system, survey)
    return survey


def _refuse_order(system: System, ledger: Ledger, plan: WeekPlan) -> None:
    """Weeks go back in the reverse of the order in which they came: so they are adopted in that order, too."""
    for week, status in missing_needs(ledger.state, plan):
        raise NotAllowed(
            f"{plan.week} needs {week}, which is {status} by the journal",
            hint=f"First `{system.type_this(f'state adopt {week}')}`, if it is in force.",
        )
    for other in standing_on(ledger.state, plan.week):
        raise NotAllowed(
            f"{other.week} is {other.status}, and came after {plan.week}: adopted now, {plan.week} would stand on it",
            hint=f"`{system.type_this(f'rollback {other.week}')}` first; then adopt {plan.week}, and run {other.week} again.",
        )


def _look(system: System, ledger: Ledger, plan: WeekPlan, entry: StepEntry, options: AdoptOptions) -> _Seen:
    made = context(
        system,
        ledger,
        week=plan.week,
        run_id="adopt",
        step_id=entry.id,
        digest=system.digest_of(plan),
        timeout=min(entry.timeout, 60.0),
        writing=False,
        texts=plan.texts,
        settled=True,
    )
    adopted = entry.step.adopt(replace(made, keep_running=options.keep_running))
    if adopted.found is Found.DONE and not adopted.evidence:
        adopted = replace(adopted, found=Found.NOT_DONE, detail="it gives no evidence of its effect")
    return _Seen(entry, adopted)


def _refuse(system: System, survey: _Survey) -> None:
    week = survey.plan.week
    dark = [each for each in survey.seen if each.adopted.found is Found.UNKNOWN]
    if dark:
        lines = [f"  {each.entry.id}: {system.redact(each.adopted.detail)}" for each in dark]
        raise CouldNotReach(
            f"{week} cannot be adopted: {len(dark)} of its steps could not be asked\n" + "\n".join(lines),
            state="Nothing was journaled.",
            hint=f"Make them answer, then `{system.type_this(f'state adopt {week}')}` again.",
        )
    if survey.state is WeekStatus.NEVER_RUN:
        lines = [
            f"  {each.entry.id}: {each.adopted.found}: {system.redact(each.adopted.detail)}"
            for each in survey.seen
            if each.entry.step.effect.kind is not EffectKind.NONE
        ]
        hint = f"`{system.type_this(f'plan {week}')}` shows what a run would do."
        if survey.damage or survey.log_before:
            hint = (
                f"Where no week is in force any more, move {system.log.path} and the folder of {system.store.location} away, "
                "and begin anew; otherwise adopt the weeks that are."
            )
        raise NotAllowed(
            f"nothing of {week} is in force, so there is nothing to adopt:\n" + "\n".join(lines),
            state=f"Nothing was journaled: {week} is never-run.",
            hint=hint,
        )


def _log_before(system: System, ledger: Ledger) -> str:
    """What the log file is a render of, where that is not this journal; empty where there is none, or it is ours."""
    try:
        body = system.files.read(system.log.path)
    except OSError:
        return ""
    footer = recognise(body)
    if footer is None:
        return "a log that is no render of a journal"
    if footer.seq == 0 or ledger.known_head(footer.seq) == footer.head:
        return ""
    return f"a log of another journal, of {footer.seq} events up to {footer.head[:12]}"


def _about_the_log(survey: _Survey) -> list[str]:
    if not survey.log_before:
        return []
    return [f"{survey.log_before} was here; it is kept aside, beside this one"]


def _about_the_rest(kept: Sequence[str]) -> list[str]:
    names = ", ".join(path.rpartition("/")[2] for path in kept)
    return [f"what was left of the journal before is kept in the state folder: {names}"] if kept else []


def _drafts(system: System, survey: _Survey, run_id: str, notes: Sequence[str]) -> list[Draft]:
    """All of it in one append: a week is adopted, or nothing was journaled."""
    plan = survey.plan
    week = plan.week
    drafts = [
        v.run_started(
            week,
            run_id,
            title=plan.title,
            plan=plan.document(),
            digest=system.digest_of(plan),
            person=system.identity.whoami(),
            command=system.command,
            environment=system.environment,
            version=system.version,
            adopted=notes,
        )
    ]
    for each in survey.seen:
        if each.done:
            drafts += _drafts_of(system, week, run_id, each.entry, each.adopted)
    if survey.state is WeekStatus.PROVEN:
        return [*drafts, v.run_finished(week, run_id, outcome=WeekStatus.PROVEN)]
    left = ", ".join(each.entry.id for each in survey.seen if not each.done)
    return [
        *drafts,
        v.run_paused(
            week,
            run_id,
            after="",
            why=f"the steps that were not seen to be done: {left}",
            next_command=system.type_this(f"run {week}"),
        ),
    ]


def _drafts_of(system: System, week: str, run_id: str, entry: StepEntry, adopted: Adopted) -> Iterator[Draft]:
    where = (week, run_id, entry.id)
    yield v.intent(
        *where,
        kind=entry.step.kind,
        title=entry.title,
        effect=str(entry.step.effect),
        undo=adopted.undo,
        attempt=1,
        adopted=[str(system.redact(text)) for text in adopted.assumed],
    )
    for name in adopted.checkpoints:
        yield v.checkpoint(*where, name=name, data={"adopted": True}, direction="either")
    yield v.applied(*where)
    evidence = [{"text": line.text, "data": dict(line.data)} for line in adopted.evidence]
    yield v.verified(*where, evidence=evidence, seconds=0.0)


def _view(
    system: System, survey: _Survey, options: AdoptOptions, *, written: bool, kept: Sequence[str] = ()
) -> AdoptView:
    week, state = survey.plan.week, survey.state
    steps = [
        AdoptedStep(
            each.entry.id,
            each.entry.title,
            str(each.adopted.found),
            str(system.redact(each.adopted.detail)),
            [str(system.redact(line.text)) for line in each.adopted.evidence],
            [str(system.redact(text)) for text in each.adopted.assumed],
        )
        for each in survey.seen
    ]
    notes = [_NO_SIGNATURES]
    if survey.damage and not written:
        notes.append(
            f"the journal that is there is set aside, and every week in it begins from what is so, because {survey.damage}"
        )
    follow = f"run {week}" if state is WeekStatus.WAITING else "status"
    if not written:
        follow = f"state adopt {week}{' --keep-running' if options.keep_running else ''} --yes"
    return AdoptView(
        system.header,
        week,
        survey.plan.title,
        str(state),
        written,
        steps,
        [*notes, *_about_the_log(survey), *_about_the_rest(kept)],
        system.type_this(follow),
    )
