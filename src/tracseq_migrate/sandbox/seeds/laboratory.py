"""The monolith's laboratory: samples, templates, storage, jobs, spreadsheets, notifications, the awkward ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from tracseq_migrate.sandbox.seeds.rows import Chance, copy_into

_SAMPLE_STATES = ("pending", "validated", "in_storage", "in_sequencing", "completed")
_JOB_STATES = ("pending", "in_progress", "completed", "failed")
_KINDS = ("DNA", "RNA", "plasma", "saliva")

# (name, zone, container, capacity, usage, active)
_LOCATIONS = (
    ("Freezer A", "-80C", "box", 100, 37, True),
    ("Freezer B", "-20C", "rack", 80, 80, True),  # full to the last place
    ("Refrigerator 1", "4C", "rack", 50, 12, True),
    ("Shelf 4, room 102", "RT", "rack", 200, 0, True),
    ("Incubator", "37C", "plate", 30, 3, True),
    ("Freezer C", "-80C", "box", 120, 64, True),
    ("Freezer D (defect)", "-80C", "tube", 60, 0, False),
    ("Cold room", "4C", "bag", 500, 141, True),
)
_TEMPLATES = (
    # The target brings one of the same name.
    ("Sample Submission Form", "What a customer fills in", "xlsx"),
    ("RNA Submission Form", "As above, for RNA", "xlsx"),
    ("Library QC Report", None, "pdf"),
    ("Plate Layout 96", "Ninety-six wells", "csv"),
    ("Plate Layout 384", "Three hundred and eighty-four wells", "csv"),
    ("Sequencing Run Sheet", "One a run", "xlsx"),
    ("Extraction Protocol v2", "Replaces the first; see metadata", "docx"),
    ("Shipping Label", "", "docx"),
)
SAMPLES = 60
MOVEMENTS = 48
JOBS = 20
SPREADSHEETS = 12
NOTIFICATIONS = 15


def fill_laboratory(connection: psycopg.Connection[Any], *, seed: int, people: Sequence[UUID]) -> None:
    """Make everything but the users, who are there already: ``people`` are their ids. Raises `psycopg.Error`."""
    _templates(connection, Chance(seed, "templates"))
    barcodes = _samples(connection, Chance(seed, "samples"))
    _storage(connection, Chance(seed, "storage"), barcodes)
    _jobs(connection, Chance(seed, "jobs"))
    _spreadsheets(connection, Chance(seed, "spreadsheets"), people)
    _notifications(connection, Chance(seed, "notifications"))


def _templates(connection: psycopg.Connection[Any], chance: Chance) -> None:
    rows: list[dict[str, Any]] = []
    for number, (name, description, kind) in enumerate(_TEMPLATES, 1):
        rows.append(
            {
                "id": chance.uuid(),
                "name": name,
                "description": description,
                "file_path": f"uploads/templates/{number:03d}.{kind}",
                "file_type": kind,
                "created_at": (created := chance.moment()),
                "updated_at": created,
                "metadata": {"replaces": "Extraction Protocol"} if name.endswith("v2") else {},
            }
        )
    copy_into(connection, "templates", rows)


def _samples(connection: psycopg.Connection[Any], chance: Chance) -> list[str]:
    rows: list[dict[str, Any]] = []
    for number in range(1, SAMPLES + 1):
        kind = chance.random.choice(_KINDS)
        rows.append(
            {
                "id": chance.uuid(),
                "name": f"{kind} {number:04d}",
                "barcode": f"TS-{number:06d}",
                "location": f"{chance.random.choice(_LOCATIONS)[0]}/{chance.random.randrange(1, 100)}",
                "status": _SAMPLE_STATES[number % len(_SAMPLE_STATES)],
                "created_at": (created := chance.moment()),
                "updated_at": created,
                "metadata": {"sample_type": kind} if number % 3 else {},
            }
        )
    # Blank where the target demands something, and as long as only the monolith's neighbours allow.
    rows[0]["name"] = ""
    rows[1]["name"] = "   "
    rows[2]["barcode"] = ""
    rows[3]["barcode"] = "TS-" + "X" * 47
    rows[4]["location"] = ""
    rows[5]["metadata"] = {"sample_type": "  ", "note": 'quotes " and \\ and ü'}
    copy_into(connection, "samples", rows)
    return [row["barcode"] for row in rows]


def _storage(connection: psycopg.Connection[Any], chance: Chance, barcodes: Sequence[str]) -> None:
    copy_into(
        connection,
        "storage_locations",
        [
            {
                "name": name,
                "description": None if number % 3 == 0 else f"{container}s at {zone}",
                "temperature_zone": zone,
                "capacity": capacity,
                "current_usage": usage,
                "container_type": container,
                "is_active": active,
                "location_path": None if number == 7 else f"Building A/Room {100 + number}/{name}",
                "created_at": (created := chance.moment()),
                "updated_at": created,
            }
            for number, (name, zone, container, capacity, usage, active) in enumerate(_LOCATIONS, 1)
        ],
    )
    stored = [barcode for barcode in barcodes if barcode][10:40]
    # The last one belongs to no sample any more.
    stored[-1] = "TS-REMOVED"
    states = ("pending", "validated", "instorage", "insequencing", "completed", "discarded")
    copy_into(
        connection,
        "sample_locations",
        [
            {
                "sample_id": 100 + number,
                "location_id": 1 + number % len(_LOCATIONS),
                "barcode": barcode,
                "position": f"{'ABCDEFGH'[number % 8]}{1 + number % 12}",
                "storage_state": states[number % len(states)],
                "stored_at": (at := chance.moment()),
                "stored_by": None if number % 4 else "lab-robot",
                "created_at": at,
                "updated_at": at,
            }
            for number, barcode in enumerate(stored)
        ],
    )
    # Who moved it is a text: an address, a name, a machine.
    movers = ("t.selfmade@lab.example.org", "Petra Investigator", "system", "lab-robot")
    movements: list[dict[str, Any]] = [
        {
            "sample_id": 100 + number % len(stored),
            "barcode": stored[number % len(stored)],
            "from_location_id": None if number % 4 == 0 else 1 + number % len(_LOCATIONS),
            "to_location_id": None if number % 7 == 3 and number % 4 else 1 + (number + 3) % len(_LOCATIONS),
            "from_state": None if number % 4 == 0 else "validated",
            "to_state": "discarded" if number % 7 == 3 else "instorage",
            "movement_reason": "intake" if number % 4 == 0 else "relocation",
            "moved_by": movers[number % len(movers)],
            "moved_at": chance.moment(),
            "notes": f"MOVE-{number:05d}" if number % 5 else None,
        }
        for number in range(MOVEMENTS)
    ]
    # From nowhere to nowhere: recorded once by mistake, and allowed here.
    movements[8] |= {"from_location_id": None, "to_location_id": None, "movement_reason": "correction"}
    copy_into(connection, "storage_movement_history", movements)


def _jobs(connection: psycopg.Connection[Any], chance: Chance) -> None:
    copy_into(
        connection,
        "sequencing_jobs",
        [
            {
                "id": chance.uuid(),
                "name": f"Run {number:03d}",
                "status": _JOB_STATES[number % len(_JOB_STATES)],
                "sample_sheet_path": f"uploads/sheets/run-{number:03d}.csv",
                "created_at": (created := chance.moment()),
                "updated_at": created,
                "metadata": {"platform": "NovaSeq 6000", "read_length": 150} if number % 2 else {},
            }
            for number in range(1, JOBS + 1)
        ],
    )


def _spreadsheets(connection: psycopg.Connection[Any], chance: Chance, people: Sequence[UUID]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": chance.uuid(),
            "name": f"Intake {number:02d}",
            "filename": f"intake-{number:02d}.xlsx",
            "file_path": f"uploads/sheets/intake-{number:02d}.xlsx",
            "file_size": None if number % 4 == 0 else chance.random.randrange(1_000, 2_000_000),
            "file_type": "xlsx",
            "upload_status": "failed" if number % 6 == 0 else "completed",
            "metadata": {},
            "uploaded_by": None if number % 5 == 0 else people[number % len(people)],
            "created_at": (created := chance.moment()),
            "updated_at": created,
        }
        for number in range(1, SPREADSHEETS + 1)
    ]
    copy_into(connection, "spreadsheet_datasets", rows)
    copy_into(
        connection,
        "spreadsheet_sheets",
        [
            {
                "id": chance.uuid(),
                "dataset_id": row["id"],
                "sheet_name": "Samples",
                "sheet_index": 0,
                "row_count": chance.random.randrange(1, 400),
                "column_count": 8,
                "created_at": row["created_at"],
                "updated_at": row["updated_at"],
            }
            for row in rows
        ],
    )


def _notifications(connection: psycopg.Connection[Any], chance: Chance) -> None:
    copy_into(
        connection,
        "notifications",
        [
            {
                "title": f"Run {number:03d} has ended",
                "message": "All lanes passed." if number % 3 else "Lane 2 failed.",
                "channel": ("in_app", "email", "pager")[number % 3],  # the service knows no pager
                "recipient": "p.investigator@lab.example.org",
                "priority": ("normal", "high")[number % 2],
                "created_at": (created := chance.moment()),
                "updated_at": created,
            }
            for number in range(1, NOTIFICATIONS + 1)
        ],
    )
