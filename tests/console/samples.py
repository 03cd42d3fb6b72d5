"""One of every view and of every note, with awkward contents."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tracseq_migrate.operations import observer as notes
from tracseq_migrate.operations.views import (
    AdoptedStep,
    AdoptView,
    ApprovedView,
    BackupLine,
    BackupsView,
    ChainView,
    FindingLine,
    FlagLine,
    Header,
    ItemLine,
    LockLine,
    LockReleasedView,
    LockView,
    ManualStep,
    ObligationLine,
    PlannedStep,
    PlanView,
    RestoredView,
    RestoreTable,
    RollbackView,
    RunLine,
    RunsView,
    ServiceLine,
    StateExportedView,
    StateImportedView,
    StatusView,
    ValidateView,
    VerifyLine,
    VerifyView,
    View,
    WeekLine,
)

NOW = datetime(2026, 11, 23, 15, 0, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=2)
HEADER = Header("sandbox", "http://127.0.0.1:18089", ".tracseq-migrate/sandbox")
HOSTILE = "\x1b]0;owned\x07[bold]x[/bold]\u202eevil\x9b31m"

STATUS = StatusView(
    header=HEADER,
    weeks=[
        WeekLine("week1", "Notifications, storage, RAG", "low", "proven", EARLIER, 30, []),
        WeekLine(
            "week2",
            "Templates",
            "medium",
            "waiting",
            NOW,
            50,
            ["week1"],
            steps=[
                ("start", "Start templates", "verified"),
                ("look", "A person looks at the list of templates", "waiting"),
                ("gone", "Something that was undone", "reverted"),
                ("bad", "Something that failed", "failed"),
                ("flags", "Switch USE_TEMPLATE_SERVICE", "pending"),
            ],
            detail="waits for a person: Has the laboratory looked at the templates?",
        ),
        WeekLine(
            "week3", "Authentication", "high", "residue", NOW, 70, ["week2"], detail="Left: the flag file"
        ),
    ],
    services=[
        ServiceLine("storage", "running", "pass"),
        ServiceLine("rag", "running", "fail", f"/health answered 503 {HOSTILE}"),
        ServiceLine("templates", "stopped", "unknown"),
    ],
    flags=[
        FlagLine("USE_STORAGE_SERVICE", "/api/storage", "true", True, {"g-1": True, "g-2": True}, "storage"),
        FlagLine(
            "USE_RAG_SERVICE", "/api/rag", "true", None, {"g-1": True, "g-2": False}, "rag", "g-2 says off"
        ),
        FlagLine("USE_AUTH_SERVICE", "/api/auth", "false", None, {"g-1": None, "g-2": None}, ""),
        FlagLine("USE_TEMPLATE_SERVICE", "/api/templates", None, False, {"g-1": False, "g-2": False}, ""),
    ],
    obligations=[
        ObligationLine("week2", "flags", "the gateway must be reloaded", "ends when both agree", EARLIER)
    ],
    lock=LockLine("ada", "host1", 123, "tracseq-migrate run week2", EARLIER, NOW),
    progress=30,
    next_command="tracseq-migrate approve week2 look --evidence TEXT",
    next_reason="week2 waits for a person",
    events=12,
    warnings=["the clock of host1 is 3 s behind"],
    fallen=["week1 stands on rag, which is stopped"],
)

OPEN_ITEM = ItemLine(
    "backup", "A backup was taken", "open", "nobody has signed", "tracseq-migrate approve week2 backup"
)
DIFF = (
    "--- gateway/flags.env\n+++ gateway/flags.env\n@@ -1,2 +1,2 @@\n USE_RAG_SERVICE=true\n"
    "-USE_TEMPLATE_SERVICE=false\n+USE_TEMPLATE_SERVICE=true  # a comment that goes on until it does not fit\n"
)

PLAN = PlanView(
    header=HEADER,
    week="week2",
    title="Templates",
    risk="medium",
    about="Moves templates.\nThe second line says why.",
    state="never-run",
    digest="3f2a91c4aa77" + "0" * 52,
    offline=True,
    allowed=["week2 needs week1, which is never-run"],
    checklist=[OPEN_ITEM, ItemLine("team", "The team knows", "signed", "by ada", "")],
    preflight=[
        PlannedStep("gateway", "Ask the gateway", "http", "none", 0, False, [("known", "asks /health")])
    ],
    steps=[
        PlannedStep(
            "start", "Start templates", "services", "reversible", 0, True, [("assumed", "healthy in 30 s")]
        ),
        PlannedStep(
            "flags",
            "Switch the flag",
            "flags",
            "reversible",
            0,
            True,
            [("known", "one line"), ("cannot be known before", "how long requests wait")],
            DIFF,
        ),
        PlannedStep("one", "Prove one", "route", "none", 1, False, [("known", "asks")]),
        PlannedStep("two", "Prove two", "route", "none", 1, False, [("known", "asks")]),
    ],
    changes=True,
    next_command="tracseq-migrate run week2",
)

NOTHING_TO_DO = PlanView(
    header=HEADER,
    week="week1",
    title="Notifications",
    risk="low",
    about="",
    state="proven",
    digest="ab" * 32,
    offline=False,
    allowed=[],
    checklist=[],
    preflight=[],
    steps=[],
    changes=False,
    next_command="",
)

VERIFY = VerifyView(
    HEADER,
    [
        VerifyLine("week1", "flags", "Switch three flags", "pass", "2 instances report them on"),
        VerifyLine("week1", "rag", "Prove /api/rag", "fail", "the monolith answered"),
        VerifyLine("week1", "storage", "Prove /api/storage", "unknown", "connection refused"),
    ],
    ["USE_RAG_SERVICE: declared true, g-2 says off"],
    "tracseq-migrate rollback week1",
)
WELL = VerifyView(HEADER, [VerifyLine("week1", "flags", "Switch", "pass", "on")], [])
NOTHING_APPLIED = VerifyView(HEADER, [], [])

ROLLBACK = RollbackView(
    HEADER,
    "week1",
    "Notifications",
    "proven",
    [ManualStep("flags", "Switch three flags", ["set USE_RAG_SERVICE=false in gateway/flags.env", "reload"])],
    [{"where": "storage.zones", "what": "inserted", "key": f"[{number}]"} for number in range(25)],
    ["the database rag is down"],
    "25 writes would be left on the new side",
    "tracseq-migrate rollback week1 --accept-loss",
)
RUNS = RunsView(
    HEADER,
    [
        RunLine("20261123T130000.000000Z-ab12", "week1", "run", EARLIER, NOW, "ada", "proven"),
        RunLine("20261123T150000.000000Z-ab12", "week1", "rollback", NOW, None, "ada", "in progress"),
    ],
    "MIGRATION_LOG.md",
    "MIGRATION_LOG.md.1",
)
NO_RUNS = RunsView(HEADER, [], "MIGRATION_LOG.md")
CHAIN = ChainView(HEADER, 12, "ab" * 32, None, "", "MIGRATION_LOG.md", "whole")
LOST = "MIGRATION_LOG.md was rendered up to event 152, and the journal .tracseq-migrate/lab/journal.sqlite3 has 4 events"
LOST_CHAIN = ChainView(
    HEADER, 4, "ab" * 32, None, "", "MIGRATION_LOG.md", "rendered from another journal", LOST
)
LOST_RUNS = RunsView(HEADER, [], "MIGRATION_LOG.md", lost=LOST)
LOST_STATUS = StatusView(
    HEADER, [], [], [], [], None, 0, "tracseq-migrate log verify", "", 4, lost=LOST, unknown_events=2
)
EXPORTED = StateExportedView(HEADER, "old.jsonl", 152, "ab" * 32, 7, "cd" * 32)
EVIDENCE = StateExportedView(HEADER, f"{HOSTILE}.jsonl", 1, "", 1, "cd" * 32)
IMPORTED = StateImportedView(
    HEADER, "old.jsonl", 152, "ab" * 32, 152, 7, "", (), "", "tracseq-migrate status"
)
REPLACED = StateImportedView(
    HEADER,
    "old.jsonl",
    152,
    "ab" * 32,
    152,
    0,
    f"the journal is damaged: {HOSTILE}",
    ("journal.sqlite3.kept-20261123T150000Z", "journal.sqlite3.kept-20261123T150000Z-wal"),
    "MIGRATION_LOG.aside-1.md",
    "tracseq-migrate status",
)
NOTHING_IMPORTED = StateImportedView(
    HEADER, "old.jsonl", 1, "ab" * 32, 0, 0, "", (), "", "tracseq-migrate status"
)
BROKEN_CHAIN = ChainView(HEADER, 4, "ab" * 32, 5, "its content was changed", "MIGRATION_LOG.md", "missing")
VALIDATE = ValidateView(
    ["weeks/week1-safe.yaml"],
    [FindingLine("weeks/week1-safe.yaml", 3, 1, "unknown key 'stpes'", "did you mean 'steps'?")],
    ["${DSN} is not set"],
)
VALID = ValidateView(["weeks/week1-safe.yaml", "weeks/week2-template.yaml"], [])
APPROVED = ApprovedView(
    HEADER,
    "week2",
    "team",
    "The team knows",
    "ada",
    "grace",
    "mail of Monday",
    NOW,
    [OPEN_ITEM],
    "tracseq-migrate run week2",
)

LOCK = LockView(
    header=HEADER,
    held=True,
    how="processes of lab-2 cannot be seen from here; it is believed until its lease expires",
    next_command="tracseq-migrate lock release 5f1c09aa",
    holder_id="5f1c09aa",
    person=HOSTILE,
    host="lab-2",
    pid=4711,
    command="tracseq-migrate run week1 --yes",
    since=EARLIER,
    expires=NOW + timedelta(seconds=20),
    epoch=12,
    life="believed",
)
NO_LOCK = LockView(HEADER, held=False, how="nobody holds it", next_command="tracseq-migrate status")
LOCK_RELEASED = LockReleasedView(
    header=HEADER,
    holder_id="5f1c09aa",
    person="ada",
    host="lab-2",
    pid=4711,
    command="tracseq-migrate run week1 --yes",
    since=EARLIER,
    life="silent",
    by="grace",
    reason=HOSTILE,
    week="week1",
    state="in-doubt",
    next_command="tracseq-migrate resume week1",
)
_BACKUP = BackupLine(
    "main-20261123T130000Z-5f1c09.dump",
    "main",
    EARLIER,
    1_234_567,
    "PostgreSQL 15, pg_dump 15",
    "week3 R7 backup",
    1200,
)
BACKUPS = BackupsView(
    HEADER, "/srv/backups", [_BACKUP, replace(_BACKUP, database=HOSTILE, bytes=7_000_000_000)]
)
NO_BACKUPS = BackupsView(HEADER, "/srv/backups", [])
BACKUPS_VERIFIED = BackupsView(
    HEADER,
    "/srv/backups",
    [
        replace(_BACKUP, verdict="pass", detail="as it was written, 15 tables"),
        replace(_BACKUP, verdict="fail", detail=HOSTILE),
        replace(_BACKUP, verdict="unknown", detail="the server cannot be reached"),
    ],
    verified=True,
)
BACKUP_RESTORED = RestoredView(
    header=HEADER,
    name=_BACKUP.name,
    database="main",
    before="main-20261123T150000Z-aa0011.dump",
    tables=[RestoreTable("public.users", 512, 500), RestoreTable(HOSTILE, 3, None)],
    seconds=3.2,
    next_command="tracseq-migrate verify",
)
ADOPT = AdoptView(
    header=HEADER,
    week="week1",
    title="Notifications, storage, RAG",
    state="waiting",
    written=False,
    steps=[
        AdoptedStep(
            "start",
            "start storage",
            "done",
            "storage is running",
            ["storage is healthy (200 in 3 ms)"],
            ["storage was stopped before, because the plan starts it: going back stops it"],
        ),
        AdoptedStep("flags", HOSTILE, "not done", f"gateway-1 has {HOSTILE}", [], []),
    ],
    notes=["signatures of the checklist cannot be rebuilt"],
    next_command="tracseq-migrate state adopt week1 --yes",
)
ADOPTED = replace(ADOPT, written=True, state="proven", next_command="tracseq-migrate status")

VIEWS: dict[str, View] = {
    "status": STATUS,
    "plan": PLAN,
    "nothing-to-do": NOTHING_TO_DO,
    "verify": VERIFY,
    "well": WELL,
    "nothing-applied": NOTHING_APPLIED,
    "rollback": ROLLBACK,
    "runs": RUNS,
    "no-runs": NO_RUNS,
    "chain": CHAIN,
    "broken-chain": BROKEN_CHAIN,
    "lost-chain": LOST_CHAIN,
    "lost-runs": LOST_RUNS,
    "lost-status": LOST_STATUS,
    "exported": EXPORTED,
    "evidence": EVIDENCE,
    "imported": IMPORTED,
    "replaced": REPLACED,
    "nothing-imported": NOTHING_IMPORTED,
    "validate": VALIDATE,
    "valid": VALID,
    "approved": APPROVED,
    "lock": LOCK,
    "no-lock": NO_LOCK,
    "lock-released": LOCK_RELEASED,
    "backups": BACKUPS,
    "no-backups": NO_BACKUPS,
    "backups-verified": BACKUPS_VERIFIED,
    "backup-restored": BACKUP_RESTORED,
    "adopt": ADOPT,
    "adopted": ADOPTED,
}

STEPS = (
    ("start", "Start services", 0),
    ("one", "Prove one", 1),
    ("two", "Prove two", 1),
    ("last", "Look again", 0),
)

STORY: tuple[notes.Note, ...] = (
    notes.Began(NOW, "run", "week1", "Notifications, storage, RAG", "R1", STEPS),
    notes.CheckDone(NOW, "gateway", "Ask the gateway", "pass", "200"),
    notes.CheckDone(NOW, "backup", "A backup was taken", "fail", "nobody has signed", "approve week1 backup"),
    notes.CheckDone(NOW, "rag", "Ask rag", "unknown", "connection refused"),
    notes.StepBegan(NOW, "start", "Start services", "apply", 300.0),
    notes.StepSaid(NOW, "start", f"waiting for storage\n{HOSTILE}"),
    notes.StepBegan(NOW, "start", "Start services", "verify", 300.0),
    notes.StepDone(
        NOW, "start", "Start services", undone=False, seconds=1.23, evidence=["storage runs", "rag runs"]
    ),
    notes.StepBegan(NOW, "one", "Prove one", "apply", 30.0),
    notes.StepBegan(NOW, "two", "Prove two", "apply", 30.0),
    notes.StepFailedNote(NOW, "two", "Prove two", "verify", "the monolith answered", "look at g-2", 0.5, 2.0),
    notes.StepDone(
        NOW, "one", "Prove one", undone=False, seconds=0.2, evidence=["one answered"], already=True
    ),
    notes.StepFailedNote(NOW, "two", "Prove two", "verify", "the monolith answered", "look at g-2", 2.5),
    notes.Warned(NOW, "the log was not committed"),
    notes.TurnedBack(
        NOW, "week1", "step two failed", (("one", "Prove one", 0), ("start", "Start services", 0))
    ),
    notes.StepBegan(NOW, "start", "Start services", "revert", 300.0),
    notes.StepDone(NOW, "start", "Start services", undone=True, seconds=0.7, evidence=["storage is stopped"]),
    notes.Finished(
        NOW, "week1", "R1", "rolled-back", 5, "all is as before", "tracseq-migrate run week1", 12.3
    ),
)
WAITING: tuple[notes.Note, ...] = (
    notes.Began(NOW, "resume", "week2", "Templates", "R2", STEPS),
    notes.StepBegan(NOW, "start", "Start services", "probe", 300.0),
    notes.StepWaiting(
        NOW, "start", "Start services", "a person: good?", "2026-11-23T18:00:00Z", "tracseq-migrate run week2"
    ),
    notes.Finished(NOW, "week2", "R2", "waiting", 9, "a person must look", "tracseq-migrate run week2", 1.0),
)
