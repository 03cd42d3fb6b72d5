"""What the reading commands found, ready to be shown or printed as one JSON document. Fields are only ever added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tracseq_migrate.frozen import frozen
from tracseq_migrate.journal.chain import stamp

if TYPE_CHECKING:
    from tracseq_migrate.replication.comparing import Comparison, Verdict

FORMAT = "1.0"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@frozen
class View:
    """One document."""

    type: ClassVar[str] = ""

    def as_json(self) -> dict[str, Any]:
        return {"type": self.type, "format": FORMAT, **_plain(asdict(self))}


@frozen
class Header:
    """The first line of every output: which environment, gateway and state this is about."""

    environment: str
    gateway: str
    state: str


@frozen
class WeekLine:
    """One week; ``since`` is when it came into its state; ``detail`` says what it waits for, or what is left."""

    week: str
    title: str
    risk: str
    state: str
    since: datetime | None
    progress: int
    needs: Sequence[str]
    steps: Sequence[tuple[str, str, str]] = ()
    """(id, title, status) of the run in force."""
    run_id: str = ""
    detail: str = ""


@frozen
class ServiceLine:
    """``health`` is pass, fail or unknown; ``flags`` are those that send traffic to it, with what is effective."""

    name: str
    state: str
    health: str
    detail: str = ""


@frozen
class FlagLine:
    """``effective`` is true, false, or None where instances disagree or could not be asked; ``drift`` says what is off."""

    flag: str
    prefix: str
    declared: str | None
    effective: bool | None
    instances: dict[str, bool | None]
    owner: str
    drift: str = ""


@frozen
class ObligationLine:
    week: str
    step: str
    what: str
    ends: str
    since: datetime


@frozen
class LockLine:
    person: str
    host: str
    pid: int
    command: str
    since: datetime
    expires: datetime


@frozen
class LockView(View):
    """``lock show``: who holds the lock. ``life`` is alive, silent or believed, and ``how`` says how that is known."""

    type: ClassVar[str] = "lock"
    header: Header
    held: bool
    how: str
    next_command: str
    holder_id: str = ""
    person: str = ""
    host: str = ""
    pid: int = 0
    command: str = ""
    since: datetime | None = None
    expires: datetime | None = None
    epoch: int = 0
    life: str = ""


@frozen
class BackupLine:
    """One backup; ``verdict`` is empty where nobody looked, ``rows`` 0 where they were not counted."""

    name: str
    database: str
    at: datetime
    bytes: int
    server: str
    by: str
    rows: int
    verdict: str = ""
    detail: str = ""


@frozen
class BackupsView(View):
    """``backup list`` and ``backup verify``."""

    type: ClassVar[str] = "backups"
    header: Header
    folder: str
    backups: Sequence[BackupLine]
    verified: bool = False


@frozen
class RestoreTable:
    """A table's rows before a restore, and in the backup: None where they were not counted."""

    name: str
    rows_now: int
    rows_then: int | None


@frozen
class RestoredView(View):
    """``backup restore``: ``before`` is the backup of what was there until then."""

    type: ClassVar[str] = "backup-restored"
    header: Header
    name: str
    database: str
    before: str
    tables: Sequence[RestoreTable]
    seconds: float
    next_command: str


@frozen
class LockReleasedView(View):
    """``lock release``: whose lock was taken away, ``by`` whom, and the week whose run that broke off, if any."""

    type: ClassVar[str] = "lock-released"
    header: Header
    holder_id: str
    person: str
    host: str
    pid: int
    command: str
    since: datetime
    life: str
    by: str
    reason: str
    week: str
    state: str
    next_command: str
    here: bool = False
    """Whether it was at work on this machine, so that the programs that it was running were ended too."""


@frozen
class AdoptedStep:
    """One step as it was found: ``found`` is done, not done or partly; ``assumed`` is what of its way back is not known."""

    step: str
    title: str
    found: str
    detail: str
    evidence: Sequence[str]
    assumed: Sequence[str]


@frozen
class AdoptView(View):
    """``state adopt``: what was seen of a week, and the state that it has (or would have, where it is not ``written``)."""

    type: ClassVar[str] = "adopt"
    header: Header
    week: str
    title: str
    state: str
    written: bool
    steps: Sequence[AdoptedStep]
    notes: Sequence[str]
    next_command: str


@frozen
class ReplicatedTable:
    """One table on its way: ``phase`` is captured, copying, copied, built or following; ``waiting`` changes are owed."""

    name: str
    phase: str
    waiting: int
    behind_seconds: float


@frozen
class ReplicationLine:
    """One replication: where from and to, who carries changes over, how far behind it is, and what is wrong with it."""

    week: str
    step: str
    name: str
    origin: str
    destination: str
    tables: Sequence[ReplicatedTable]
    leader: str
    behind_rows: int
    behind_seconds: float
    alarm: str
    """What somebody should do something about; empty where all is well."""


@frozen
class SyncView(View):
    """``sync status``."""

    type: ClassVar[str] = "sync.status"
    header: Header
    replications: Sequence[ReplicationLine]
    next_command: str


@frozen
class SyncStoppedView(View):
    """``sync stop``: who was asked to stop, and whether they did."""

    type: ClassVar[str] = "sync.stopped"
    header: Header
    stopped: Sequence[str]
    left: Sequence[str]
    next_command: str


@frozen
class StatusView(View):
    """``status``: the whole migration at a glance, and the one command to type next."""

    type: ClassVar[str] = "status"
    header: Header
    weeks: Sequence[WeekLine]
    services: Sequence[ServiceLine]
    flags: Sequence[FlagLine]
    obligations: Sequence[ObligationLine]
    lock: LockLine | None
    progress: int
    next_command: str
    next_reason: str
    events: int
    warnings: Sequence[str] = ()
    """What could not be asked."""
    fallen: Sequence[str] = ()
    """What weeks in force stand on, and is no more: a service that is down, an instance out of rotation."""
    lost: str = ""
    """What shows that there were more events than the journal has; empty where nothing does."""
    unknown_events: int = 0
    """Events that this version does not know: a newer one wrote them."""
    replications: Sequence[ReplicationLine] = ()
    """What is carried over from one database to another."""


@frozen
class PlannedStep:
    """``lines`` are (certainty, text); ``group`` numbers parallel groups, 0 stands alone."""

    id: str
    title: str
    kind: str
    effect: str
    group: int
    changes: bool
    lines: Sequence[tuple[str, str]]
    diff: str = ""


@frozen
class ItemLine:
    """A checklist item: ``state`` is signed, open, expired or voided; ``command`` would sign it."""

    id: str
    ask: str
    state: str
    detail: str
    command: str


@frozen
class PlanView(View):
    """``plan``: what a run would change, what must be signed, and how it would go back."""

    type: ClassVar[str] = "plan"
    header: Header
    week: str
    title: str
    risk: str
    about: str
    state: str
    digest: str
    offline: bool
    allowed: Sequence[str]
    """What stands in the way of running it now; empty when nothing does."""
    checklist: Sequence[ItemLine]
    preflight: Sequence[PlannedStep]
    steps: Sequence[PlannedStep]
    changes: bool
    next_command: str


@frozen
class VerifyLine:
    """One thing asked again: ``verdict`` is pass, fail or unknown."""

    week: str
    step: str
    title: str
    verdict: Literal["pass", "fail", "unknown"]
    detail: str


@frozen
class VerifyView(View):
    type: ClassVar[str] = "verify"
    header: Header
    lines: Sequence[VerifyLine]
    drift: Sequence[str]
    next_command: str = ""
    states: Sequence[tuple[str, str]] = ()
    """(week, state) of the weeks that were asked about."""


@frozen
class ManualStep:
    step: str
    title: str
    lines: Sequence[str]


@frozen
class RollbackView(View):
    """``rollback --dry-run`` and ``--print-manual``: the way back, in its order, and what it would leave behind."""

    type: ClassVar[str] = "rollback-plan"
    header: Header
    week: str
    title: str
    state: str
    steps: Sequence[ManualStep]
    losses: Sequence[dict[str, Any]]
    unknown: Sequence[str]
    refused: str
    next_command: str
    unseen: Sequence[str] = ()
    """What could not be looked at, and what to know before anything is typed by hand."""


@frozen
class RunLine:
    run_id: str
    week: str
    action: str
    began: datetime
    ended: datetime | None
    person: str
    outcome: str


@frozen
class RunsView(View):
    """``log show``: every run and rollback that the journal knows."""

    type: ClassVar[str] = "log"
    header: Header
    runs: Sequence[RunLine]
    file: str
    kept_aside: str = ""
    lost: str = ""
    """What shows that there were more events than the journal has; empty where nothing does."""


@frozen
class ChainView(View):
    """``log verify``: how much of the chain fits, and the first event that does not."""

    type: ClassVar[str] = "log-verify"
    header: Header
    events: int
    head: str
    broken_at: int | None
    why: str
    file: str
    file_state: str
    lost: str = ""
    """What shows that there were more events than the journal has; empty where nothing does."""


@frozen
class FindingLine:
    file: str
    line: int
    column: int
    message: str
    remedy: str


@frozen
class ValidateView(View):
    type: ClassVar[str] = "validate"
    files: Sequence[str]
    findings: Sequence[FindingLine]
    unknown: Sequence[str] = field(default_factory=tuple)


@frozen
class MappedTable:
    """What a mapping comes to for one table: ``kept`` are columns of the origin that go into the side table, ``forward_only``
    columns of the target that the origin has no home for, ``refused`` what has no way back, each with its reason."""

    mapping: str
    table: str
    origin: str
    target: str
    columns: int
    kept: Sequence[str]
    forward_only: Sequence[str]
    refused: Sequence[str]
    way_back: bool


@frozen
class MappingCheckView(ValidateView):
    """``mapping check``."""

    type: ClassVar[str] = "mapping-check"
    tables: Sequence[MappedTable] = field(default_factory=tuple)


@frozen
class MappingDraftView(View):
    """``mapping draft``: the text, and how many questions it leaves open."""

    type: ClassVar[str] = "mapping-draft"
    file: str
    text: str
    questions: int
    next_command: str


@frozen
class ApprovedView(View):
    """``approve``: what was signed, by whom, until when, and what is still open for the week."""

    type: ClassVar[str] = "approve"
    header: Header
    week: str
    item: str
    ask: str
    person: str
    claimed: str
    evidence: str
    expires: datetime | None
    still_open: Sequence[ItemLine]
    next_command: str


@frozen
class StateExportedView(View):
    """``state export FILE``: what is in the file."""

    type: ClassVar[str] = "state-export"
    header: Header
    file: str
    events: int
    head: str
    attachments: int
    sha256: str


@frozen
class StateImportedView(View):
    """``state import``: what was taken in, and what was kept aside."""

    type: ClassVar[str] = "state-import"
    header: Header
    file: str
    events: int
    head: str
    added: int
    attachments: int
    damage: str
    """What was wrong with the journal that was here; empty where nothing was."""
    kept: Sequence[str]
    """The files of that journal, which are kept under these names."""
    log_kept_aside: str
    next_command: str


@frozen
class CompletedView(View):
    """``complete``: a week that is final; what was given up, by whom, and what was seen to be ended."""

    type: ClassVar[str] = "complete"
    header: Header
    week: str
    title: str
    state: str
    person: str
    """Who signed now; empty where it was completed before."""
    given_up: Sequence[str]
    evidence: Sequence[str]
    next_command: str


@frozen
class RehearsedChange:
    """One change of owner of a rehearsal: seconds that writes waited, and what the plan allows."""

    step: str
    direction: str
    gap: float
    allowed: float
    tries: int
    rows: int


@frozen
class RehearsedStep:
    """A step as it was rehearsed: ``seconds`` of each time, in order; or why it was not."""

    id: str
    title: str
    kind: str
    seconds: Sequence[float]
    evidence: Sequence[str]
    not_rehearsed: str = ""


@frozen
class RehearsalView(View):
    """``rehearse``: a week there, back, and there again on clones, with the verdict and what it rests on."""

    type: ClassVar[str] = "rehearsal"
    header: Header
    week: str
    title: str
    verdict: Literal["pass", "fail"]
    found: Sequence[str]
    """What went wrong; empty where it passed."""
    clones: Sequence[tuple[str, str, int, float, str]]
    """(database, template or dump, bytes, seconds, note)."""
    steps: Sequence[RehearsedStep]
    changes: Sequence[RehearsedChange]
    order: str
    """hold where writes waited; else they were refused meanwhile."""
    losses: Sequence[str]
    """What the way back would leave behind: the real one refuses it, unless that is accepted."""
    notes: Sequence[str]
    """What the verdict does not rest on, such as writes that nobody could make."""
    acknowledged: int
    inserted: int
    updated: int
    deleted: int
    refused: int
    tables: Mapping[str, int]
    """Acknowledged writes of each table."""
    left: Sequence[str]
    """Clones that could not be dropped."""
    next_command: str


@frozen
class ClonesDroppedView(View):
    """``rehearse --clean``: the clones of rehearsals that were killed, and are gone now."""

    type: ClassVar[str] = "clones.dropped"
    header: Header
    dropped: Sequence[str]
    next_command: str


@frozen
class Compared:
    """One replication of a week, compared; ``note`` says why it is not exact, where it is not."""

    step: str
    origin: str
    destination: str
    comparison: Comparison
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        told = {"step": self.step, "origin": self.origin, "destination": self.destination, "note": self.note}
        return told | self.comparison.document() | {"at": stamp(self.comparison.at)}


@frozen
class CompareView(View):
    """``compare``: what the two sides of every replication of a week hold. Values are there only where they were asked for."""

    type: ClassVar[str] = "compare"
    header: Header
    week: str
    replications: Sequence[Compared]

    @property
    def verdict(self) -> Verdict:
        found = {each.comparison.verdict for each in self.replications}
        return "different" if "different" in found else "unknown" if "unknown" in found else "equal"

    def as_json(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "format": FORMAT,
            "header": asdict(self.header),
            "week": self.week,
            "verdict": self.verdict,
            "replications": [each.as_json() for each in self.replications],
        }
