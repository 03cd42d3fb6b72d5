"""The monolith's users: eleven that no naive move gets across unharmed, and as many ordinary ones as asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from tracseq_migrate.sandbox.apps.passwords import hash_password
from tracseq_migrate.sandbox.seeds.rows import PASSWORD, Chance, copy_into

_FIRST = (
    "Ada",
    "Bruno",
    "Chiara",
    "Dmitri",
    "Elif",
    "Femi",
    "Grace",
    "Hiro",
    "Ines",
    "Jonas",
    "Kofi",
    "Lena",
    "Mira",
)
_LAST = (
    "Abe",
    "Berg",
    "Costa",
    "Dubois",
    "Eze",
    "Farkas",
    "Garcia",
    "Haas",
    "Ito",
    "Jansen",
    "Kaya",
    "Lund",
    "Müller",
)
_DEPARTMENTS = ("Genomics Core", "Pathology", "Molecular Biology", "Bioinformatics", "Oncology")
_POSITIONS = ("Scientist", "Technician", "Analyst", "Postdoctoral Fellow", "Coordinator")

# The older names of roles and states live on in rows that nobody touched since.
_ROLES = (
    *("lab_technician", "research_scientist", "data_analyst", "guest") * 4,
    *("principal_investigator", "researcher", "viewer", "lab_manager"),
)
_STATES = (*("active",) * 17, "inactive", "pending", "suspended")

_LONG_DEPARTMENT = "Department of Population-Scale Genomics, Transcriptomics and Computational Biology of the Faculty of Medicine"
_LONG_POSITION = "Deputy Head of Quality Assurance, Accreditation and Continuous Improvement " * 2
_LONG_AFFILIATION = "Consortium for the Study of Rare and Undiagnosed Diseases, Sequencing Working Group " * 2

AWKWARD: Sequence[Mapping[str, Any]] = (
    # The target seeds an administrator of this address under another id.
    {"email": "admin@lab.local", "first_name": "Lab", "last_name": "Administrator", "role": "lab_administrator"},
    # Two that fit as they are; the second was created by itself.
    {"email": "p.investigator@lab.example.org", "first_name": "Petra", "last_name": "Investigator",
     "role": "principal_investigator", "department": "Genomics Core"},
    {"email": "t.selfmade@lab.example.org", "first_name": "Tom", "last_name": "Selfmade",
     "role": "lab_technician", "status": "inactive", "created_by": "t.selfmade@lab.example.org"},
    # Single sign-on: no password; the names are in other columns, or only in the one that is shown.
    {"email": "r.sso@university.example.edu", "password": None, "given_name": "Rosa", "family_name": "Sso",
     "display_name": "Rosa Sso", "eppn": "rsso@university.example.edu", "affiliation": "faculty",
     "title": "Associate Professor", "role": "researcher", "created_by": "admin@lab.local"},
    {"email": "v.display@university.example.edu", "password": None, "display_name": "Vera von Display",
     "eppn": "vdisplay@university.example.edu", "affiliation": "student", "role": "viewer", "status": "pending",
     "created_by": "r.sso@university.example.edu"},
    # States that the target does not know.
    {"email": "s.locked@lab.example.org", "first_name": "Sven", "last_name": "Locked", "role": "research_scientist",
     "status": "locked", "failed_login_attempts": 7, "locked": True},
    # Suspended exists over there as well, but the department does not fit.
    {"email": "d.long@lab.example.org", "first_name": "Dora", "last_name": "Long", "role": "data_analyst",
     "status": "suspended", "department": _LONG_DEPARTMENT},
    # An address without a top-level domain.
    {"email": "guest@localhost", "first_name": "Guest", "last_name": "Account", "role": "guest",
     "status": "pending_verification"},
    # A role of the older days, and flags that were never set.
    {"email": "a.root@lab.example.org", "first_name": "Alan", "last_name": "Root", "role": "admin",
     "email_verified": None, "failed_login_attempts": None, "permissions": {"everything": True}},
    # A role of the older days, and two texts that are too long.
    {"email": "m.manager@lab.example.org", "first_name": "Maria", "last_name": "Manager", "role": "lab_manager",
     "position": _LONG_POSITION.strip(), "lab_affiliation": _LONG_AFFILIATION.strip(), "office_location": "B2.114",
     "preferences": {"theme": "dark"}},
    # Imported once without its dates.
    {"email": "i.undated@lab.example.org", "first_name": "Ida", "last_name": "Undated", "role": "lab_technician",
     "dated": False, "metadata": {"imported_from": "spreadsheet"}},
)  # fmt: skip
"""What is special about each; the rest is ordinary. ``password``: None for none; ``dated``: False for no time stamps;
``created_by``: an address of this list."""


def fill_users(connection: psycopg.Connection[Any], *, seed: int, users: int) -> list[UUID]:
    """Make the users; returns the ids of all that may own something, in order."""
    chance = Chance(seed, "users")
    ids = {str(special["email"]): chance.uuid() for special in AWKWARD}
    rows = [_awkward(special, ids, chance, number) for number, special in enumerate(AWKWARD, 1)]
    rows += [_ordinary(chance, number, ids["admin@lab.local"]) for number in range(1, users + 1)]
    # Whoever refers to itself, or to a row further down, is copied first and told afterwards who made it.
    makers = [(row["created_by"], row["id"]) for row in rows if row["created_by"] is not None]
    copy_into(connection, "users", [row | {"created_by": None} for row in rows])
    connection.execute("ALTER TABLE users DISABLE TRIGGER users_touch")
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE users SET created_by = %s WHERE id = %s", makers)
    connection.execute("ALTER TABLE users ENABLE TRIGGER users_touch")
    return [row["id"] for row in rows]


def _awkward(
    special: Mapping[str, Any], ids: Mapping[str, UUID], chance: Chance, number: int
) -> dict[str, Any]:
    row = _row(chance, ids[special["email"]], special["email"], f"uid-{number:04d}")
    row |= {name: value for name, value in special.items() if name in row}
    row["created_by"] = ids.get(special.get("created_by", ""))
    if special.get("password", PASSWORD) is None:
        row |= {"password_hash": None, "password_changed_at": None}
    if special.get("locked"):
        row["locked_until"] = row["updated_at"]
    if special.get("dated") is False:
        row |= {"created_at": None, "updated_at": None}
    return row


def _ordinary(chance: Chance, number: int, maker: UUID) -> dict[str, Any]:
    first, last = chance.random.choice(_FIRST), chance.random.choice(_LAST)
    email = f"{first}.{last.replace('ü', 'ue')}.{number}@lab.example.org".lower()
    row = _row(chance, chance.uuid(), email, f"uid-{1000 + number}")
    row |= {
        "first_name": first,
        "last_name": last,
        "display_name": f"{first} {last}",
        "role": chance.random.choice(_ROLES),
        "status": chance.random.choice(_STATES),
        "department": chance.random.choice(_DEPARTMENTS),
        "position": chance.random.choice(_POSITIONS),
        "lab_affiliation": "Sequencing Core Facility",
        "phone": f"+1 555 {chance.random.randrange(10**7):07d}",
        "last_login": chance.moment() if chance.random.random() < 0.7 else None,
        "created_by": maker,
    }
    return row


def _row(chance: Chance, identity: UUID, email: str, unc_pid: str) -> dict[str, Any]:
    created = chance.moment()
    return {
        "id": identity,
        "unc_pid": unc_pid,
        "email": email,
        "eppn": None,
        "given_name": None,
        "family_name": None,
        "display_name": None,
        "affiliation": None,
        "department": None,
        "title": None,
        "role": "guest",
        "status": "active",
        "permissions": {},
        "preferences": {},
        "created_at": created,
        "updated_at": created,
        "last_login": None,
        "created_by": None,
        "metadata": {},
        "password_hash": hash_password(PASSWORD, salt=chance.salt()),
        "first_name": None,
        "last_name": None,
        "lab_affiliation": None,
        "position": None,
        "phone": None,
        "office_location": None,
        "email_verified": True,
        "failed_login_attempts": 0,
        "locked_until": None,
        "password_changed_at": created,
    }
