"""The resources of the monolith and of the services: there and back on both sides, with the same fields and statuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sandbox.apps_world import Answer, App, Laboratory, laboratory


@dataclass(frozen=True)
class Case:
    """A resource as a client knows it, and how to find a row of it by SQL: ``{side: (database, query by business key)}``."""

    service: str
    path: str
    key: str
    body: Mapping[str, Any]
    change: Mapping[str, Any]
    row: Mapping[str, str]
    missing: str  # what neither side can do without, besides the key


CASES = {
    case.path: case
    for case in (
        Case(
            "auth", "auth/users", "email",
            {"email": "new@lab.example.org", "password": "secret", "first_name": "Nora", "last_name": "New",
             "role": "data_analyst", "status": "active", "department": "D", "position": "P", "lab_affiliation": "A",
             "phone": "+1 555 1", "email_verified": True},
            {"first_name": "Norma", "department": None, "email_verified": False},
            {"monolith": "SELECT first_name FROM users WHERE email = %s",
             "service": "SELECT first_name FROM users WHERE email = %s"},
            "email",
        ),
        Case(
            "samples", "samples", "barcode",
            {"barcode": "NEW-1", "name": "New", "location": "Freezer A/1", "status": "pending", "metadata": {"a": [1, "ü"]}},
            {"name": "Newer", "status": "validated", "location": "Freezer B/2"},
            {"monolith": "SELECT name FROM samples WHERE barcode = %s",
             "service": "SELECT name FROM samples WHERE barcode = %s"},
            "name",
        ),
        Case(
            "templates", "templates", "name",
            {"name": "New template", "description": "As new", "metadata": {"columns": 3}},
            {"description": "As old", "metadata": {}},
            {"monolith": "SELECT description FROM templates WHERE name = %s",
             "service": "SELECT description FROM templates WHERE name = %s"},
            "name",
        ),
        Case(
            "storage", "storage/locations", "name",
            {"name": "New freezer", "description": "Cold", "temperature_zone": "-80C", "capacity": 10, "current_usage": 3,
             "container_type": "rack", "location_path": "Building B", "is_active": True},
            {"temperature_zone": "4C", "current_usage": 4, "description": None, "is_active": False},
            {"monolith": "SELECT temperature_zone::text FROM storage_locations WHERE name = %s",
             "service": "SELECT zone_type::text FROM storage_locations WHERE name = %s"},
            "temperature_zone",
        ),
        Case(
            "sequencing", "sequencing/jobs", "name",
            {"name": "New job", "status": "completed"},
            {"status": "failed"},
            {"monolith": "SELECT status::text FROM sequencing_jobs WHERE name = %s",
             "service": "SELECT status::text FROM sequencing_jobs WHERE job_name = %s"},
            "name",
        ),
        Case(
            "notifications", "notifications", "subject",
            {"subject": "News", "body": "All is well", "channel": "email", "recipient": "you", "priority": "high"},
            {"body": "All is better", "priority": "low"},
            {"monolith": "SELECT message FROM notifications WHERE title = %s",
             "service": "SELECT body FROM notifications WHERE subject = %s"},
            "subject",
        ),
        Case(
            "spreadsheets", "spreadsheets", "filename",
            {"filename": "new.xlsx", "name": "New", "file_type": "xlsx", "file_size": 2**33, "uploaded_by": None,
             "metadata": {"rows": 1}},
            {"name": "Newer", "file_size": 1},
            {"monolith": "SELECT name FROM spreadsheet_datasets WHERE filename = %s",
             "service": "SELECT name FROM spreadsheet_versions WHERE filename = %s"},
            "name",
        ),
    )
}  # fmt: skip
SERVICES = sorted({case.service for case in CASES.values()})
SIDES = ("monolith", "service")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("resources"), apps=["monolith", *SERVICES]) as made:
        yield made


def app_of(lab: Laboratory, side: str, case: Case) -> App:
    return lab.apps["monolith" if side == "monolith" else case.service]


def database_of(side: str, case: Case) -> str:
    return "main" if side == "monolith" else case.service


def query(text: str) -> str:
    return text.replace(" ", "%20").replace("+", "%2B")


sides = pytest.mark.parametrize("side", SIDES)
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@sides
@cases
def test_there_and_back(lab: Laboratory, side: str, case: Case) -> None:
    app, database = app_of(lab, side, case), database_of(side, case)
    key = case.body[case.key]
    find = f"{case.path}?{case.key}={query(key)}"
    readable = {name: value for name, value in case.body.items() if name != "password"}
    for _ in range(2):
        created = app.ask("POST", case.path, case.body)
        assert created.status == 201, created.body
        row = created.json
        assert row.items() >= readable.items()
        assert "password" not in row
        assert len(lab.sql(database, case.row[side], key)) == 1
        one = f"{case.path}/{row['id']}"
        assert app.ask("GET", one).json == row
        assert (app.ask("GET", find).json["items"], app.ask("GET", find).json["total"]) == ([row], 1)

        patched = app.ask("PATCH", one, case.change)
        assert patched.status == 200, patched.body
        assert patched.json.items() >= (readable | dict(case.change)).items()
        assert app.ask("GET", one).json == patched.json
        # What is not mentioned stays, and a change of nothing changes nothing.
        assert app.ask("PATCH", one, {"unheard_of": 1}).json.items() >= (readable | dict(case.change)).items()

        deleted = app.ask("DELETE", one)
        assert (deleted.status, deleted.body) == (204, b"")
        assert lab.sql(database, case.row[side], key) == []
        for method in ("GET", "PATCH", "DELETE"):
            assert app.ask(method, one, {} if method == "PATCH" else None).status == 404
        assert app.ask("GET", find).json["items"] == []


@cases
def test_both_sides_have_the_fields_of_the_contract(lab: Laboratory, case: Case) -> None:
    rows = []
    for side in SIDES:
        app = app_of(lab, side, case)
        created = app.ask("POST", case.path, case.body).json
        app.ask("DELETE", f"{case.path}/{created['id']}")
        rows.append(created)
    shared = set(case.body) - {"password"} | {"id", "created_at", "updated_at"}
    assert shared <= set(rows[0]) & set(rows[1])
    assert set(rows[0]) != set(rows[1]), "two teams would not have made the very same"


@sides
@cases
def test_a_business_key_is_taken_once(lab: Laboratory, side: str, case: Case) -> None:
    app = app_of(lab, side, case)
    first = app.ask("POST", case.path, case.body)
    try:
        assert app.ask("POST", case.path, case.body).status == 409
        other = app.ask("POST", case.path, {**case.body, case.key: f"other-{case.body[case.key]}"})
        assert other.status == 201, other.body
        one = f"{case.path}/{other.json['id']}"
        assert app.ask("PATCH", one, {case.key: case.body[case.key]}).status == 409
        assert (
            app.ask("PATCH", one, {case.key: other.json[case.key]}).status == 200
        )  # its own name is not taken
        assert app.ask("DELETE", one).status == 204
    finally:
        app.ask("DELETE", f"{case.path}/{first.json['id']}")


@sides
@cases
def test_of_many_at_once_one_gets_the_key(lab: Laboratory, side: str, case: Case) -> None:
    app = app_of(lab, side, case)
    together = threading.Barrier(8)

    def create(_: int) -> Answer:
        together.wait()
        return app.ask("POST", case.path, case.body)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    (created,) = (answer.json for answer in answers if answer.status == 201)
    assert len(lab.sql(database_of(side, case), case.row[side], case.body[case.key])) == 1
    assert app.ask("DELETE", f"{case.path}/{created['id']}").status == 204


@sides
@cases
def test_what_does_not_fit_is_refused_and_nothing_is_kept(lab: Laboratory, side: str, case: Case) -> None:
    app, database = app_of(lab, side, case), database_of(side, case)
    refused: list[object] = [
        b"",
        b"{",
        b"[1]",
        b"\xff\xfe",
        b"[" * 100_000,
        {**case.body, case.key: None},
        {**case.body, case.key: 5},
        {**case.body, case.key: {"a": 1}},
        {**case.body, case.key: "with a NUL \0 in it"},
        {name: value for name, value in case.body.items() if name != case.missing},
    ]
    for body in refused:
        answer = app.ask("POST", case.path, body)
        assert answer.status == 422, (body, answer.body)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.json
    assert lab.sql(database, case.row[side], case.body[case.key]) == []
    created = app.ask("POST", case.path, case.body).json
    one = f"{case.path}/{created['id']}"
    for body in (b"{", [], {case.key: None}, {case.key: 7}):
        assert app.ask("PATCH", one, body).status == 422
    assert app.ask("GET", one).json == created
    assert app.ask("DELETE", one).status == 204


@pytest.mark.parametrize(
    ("path", "side", "change"),
    [
        ("auth/users", "monolith", {"role": "nobody"}),
        ("auth/users", "service", {"role": "researcher"}),
        ("auth/users", "service", {"email": "guest@localhost"}),
        ("auth/users", "service", {"first_name": None}),
        ("auth/users", "service", {"department": "x" * 101}),
        ("auth/users", "monolith", {"department": "x" * 201}),
        ("auth/users", "service", {"password": ""}),
        ("auth/users", "monolith", {"created_by": "99999999-0000-4000-8000-000000000000"}),
        ("auth/users", "monolith", {"created_by": "me"}),
        ("samples", "monolith", {"barcode": "x" * 51}),
        ("samples", "monolith", {"status": "archived"}),
        ("samples", "service", {"name": " "}),
        ("samples", "service", {"barcode": ""}),
        ("samples", "service", {"quality_score": 101}),
        ("samples", "service", {"metadata": None}),
        ("storage/locations", "monolith", {"current_usage": 11}),
        ("storage/locations", "service", {"current_usage": 11}),
        ("storage/locations", "monolith", {"capacity": 0}),
        ("storage/locations", "service", {"capacity": -1}),
        ("storage/locations", "monolith", {"temperature_zone": "ultra_low_freezer"}),
        ("storage/locations", "service", {"temperature_zone": "hot"}),
        ("storage/locations", "service", {"capacity": 2**40}),
        ("storage/locations", "service", {"capacity": True}),
        ("sequencing/jobs", "monolith", {"status": "queued"}),
        ("sequencing/jobs", "service", {"status": "pending"}),
        ("notifications", "service", {"channel": "pager"}),
        ("spreadsheets", "monolith", {"uploaded_by": "99999999-0000-4000-8000-000000000000"}),
        ("spreadsheets", "service", {"file_size": -1}),
    ],
)
def test_values_that_the_shape_of_a_side_refuses(
    lab: Laboratory, path: str, side: str, change: dict[str, Any]
) -> None:
    case = CASES[path]
    app = app_of(lab, side, case)
    assert app.ask("POST", path, {**case.body, **change}).status == 422
    created = app.ask("POST", path, case.body).json
    one = f"{path}/{created['id']}"
    try:
        refused = app.ask("PATCH", one, change)
        assert refused.status == 422, refused.body
        assert app.ask("GET", one).json == created
    finally:
        assert app.ask("DELETE", one).status == 204


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("auth/users", {"email": "nobody@localhost"}),
        ("auth/users", {"role": "researcher", "status": "pending_verification"}),
        ("auth/users", {"first_name": None, "password": None}),
        ("auth/users", {"department": "x" * 200}),
        ("samples", {"name": " "}),
        ("sequencing/jobs", {"status": "in_progress"}),
        ("notifications", {"channel": "pager"}),
    ],
)
def test_the_monolith_takes_what_the_service_would_not(
    lab: Laboratory, path: str, change: dict[str, Any]
) -> None:
    case = CASES[path]
    created = lab.apps["monolith"].ask("POST", path, {**case.body, **change})
    assert created.status == 201, created.body
    assert lab.apps[case.service].ask("POST", path, {**case.body, **change}).status == 422
    assert lab.apps["monolith"].ask("DELETE", f"{path}/{created.json['id']}").status == 204


@sides
@cases
def test_ids_that_are_none(lab: Laboratory, side: str, case: Case) -> None:
    app = app_of(lab, side, case)
    for text in (
        "0",
        "-1",
        "99999999999999999999",
        "x",
        "99999999-0000-4000-8000-000000000000",
        "%00",
        "1;2",
    ):
        assert app.ask("GET", f"{case.path}/{text}").status == 404, text


@sides
def test_lists_are_read_in_pages(lab: Laboratory, side: str) -> None:
    app = app_of(lab, side, CASES["samples"])
    if side == "service":
        for number in range(7):
            assert app.ask("POST", "samples", {"name": "P", "barcode": f"PAGE-{number}"}).status == 201
    everything = app.ask("GET", "samples?limit=500").json
    ids = [item["id"] for item in everything["items"]]
    assert everything["total"] == len(ids) == len(set(ids)) > 6
    paged: list[str] = []
    while len(paged) < len(ids):
        page = app.ask("GET", f"samples?limit=3&offset={len(paged)}").json
        assert page["total"] == len(ids)
        assert 0 < len(page["items"]) <= 3
        paged += [item["id"] for item in page["items"]]
    assert paged == ids
    beyond = app.ask("GET", "samples?offset=100000").json
    assert (beyond["items"], beyond["total"]) == ([], len(ids))
    for bad in ("limit=0", "limit=x", "offset=-1", "limit=1.5", "status=nothing"):
        assert app.ask("GET", f"samples?{bad}").status == 422, bad
    assert len(app.ask("GET", "samples?limit=100000").json["items"]) == len(ids)
    for item in everything["items"]:
        if item["barcode"].startswith("PAGE-"):
            assert app.ask("DELETE", f"samples/{item['id']}").status == 204


@sides
def test_any_plain_field_is_a_filter(lab: Laboratory, side: str) -> None:
    case = CASES["storage/locations"]
    app = app_of(lab, side, case)
    created = app.ask("POST", case.path, case.body).json
    for text in (
        "temperature_zone=-80C&capacity=10",
        "container_type=rack&location_path=Building%20B",
        "is_active=true&capacity=10",
    ):
        assert created in app.ask("GET", f"{case.path}?{text}").json["items"], text
    assert created not in app.ask("GET", f"{case.path}?temperature_zone=RT").json["items"]
    assert app.ask("DELETE", f"{case.path}/{created['id']}").status == 204


def test_drafts_are_hidden_in_lists_and_nowhere_else(lab: Laboratory) -> None:
    app = lab.apps["templates"]
    assert app.ask("GET", "templates?name=Sample%20Submission%20Form").json["items"] == []
    (draft,) = app.ask("GET", "templates?status=draft").json["items"]
    assert draft["name"] == "Sample Submission Form"
    assert app.ask("GET", f"templates/{draft['id']}").json == draft
    assert app.ask("POST", "templates", {"name": "Sample Submission Form"}).status == 409


def test_the_sample_service_refuses_moves_of_status(lab: Laboratory) -> None:
    case = CASES["samples"]
    for side, status in (("monolith", 200), ("service", 422)):
        app = app_of(lab, side, case)
        created = app.ask("POST", "samples", case.body).json
        one = f"samples/{created['id']}"
        assert app.ask("PATCH", one, {"status": "in_storage"}).status == status
        assert app.ask("DELETE", one).status == 204


def test_a_place_of_a_sample_is_kept_when_it_leaves_the_storage(lab: Laboratory) -> None:
    app = lab.apps["samples"]
    created = app.ask("POST", "samples", {"name": "N", "barcode": "PLACE", "location": "F/1"}).json
    one = f"samples/{created['id']}"
    for status in ("validated", "in_storage", "in_sequencing"):
        assert app.ask("PATCH", one, {"status": status}).json["location"] == "F/1"
    assert app.ask("PATCH", one, {"location": "F/2"}).json["location"] == "F/2"
    current = "SELECT location_id FROM sample_storage_locations WHERE is_current AND sample_id = %s"
    assert lab.sql("samples", current, created["id"]) == [("F/2",)]
    assert app.ask("DELETE", one).status == 204


@sides
def test_movements_name_their_ends(lab: Laboratory, side: str) -> None:
    app = app_of(lab, side, CASES["storage/locations"])
    ends = []
    for name in ("Here", "There"):
        body = {"name": name, "temperature_zone": "RT"}
        ends.append(app.ask("POST", "storage/locations", body).json["id"])
    body = {"reference": "MOVED-1", "barcode": "B-1", "from_location": "Here", "to_location": "There",
            "reason": "test", "moved_by": "a person", "moved_at": "2025-06-01T10:00:00+02:00"}  # fmt: skip
    moved = app.ask("POST", "storage/movements", body)
    assert moved.status == 201, moved.body
    at = moved.json["moved_at"]
    assert at.startswith("2025-06-01T08:00:00")
    assert moved.json.items() >= (body | {"moved_at": at}).items()
    assert app.ask("GET", "storage/movements?reference=MOVED-1").json["items"] == [moved.json]
    assert app.ask("GET", f"storage/movements/{moved.json['id']}").json == moved.json
    assert app.ask("POST", "storage/movements", body).status == 409
    assert (
        app.ask("POST", "storage/movements", {**body, "reference": "M2", "to_location": "Nowhere"}).status
        == 422
    )
    assert (
        app.ask(
            "POST", "storage/movements", {**body, "reference": "M2", "moved_at": "2025-06-01T10:00"}
        ).status
        == 422
    )
    assert app.ask("DELETE", f"storage/locations/{ends[0]}").status == 409  # a movement refers to it
    assert app.ask("DELETE", f"storage/movements/{moved.json['id']}").status == 405
    table = "storage_movement_history"
    lab.sql(
        "main" if side == "monolith" else "storage",
        f"DELETE FROM {table} WHERE from_location_id = %s",
        ends[0],
    )
    for end in ends:
        assert app.ask("DELETE", f"storage/locations/{end}").status == 204


def test_a_movement_from_nowhere_to_nowhere_is_for_the_monolith_only(lab: Laboratory) -> None:
    body = {"reference": "VOID-1", "barcode": "B-1"}
    assert lab.apps["monolith"].ask("POST", "storage/movements", body).status == 201
    assert lab.apps["storage"].ask("POST", "storage/movements", body).status == 422


def test_a_mover_who_is_a_user_and_one_who_is_a_name(lab: Laboratory) -> None:
    app = lab.apps["storage"]
    assert app.ask("POST", "storage/locations", {"name": "Goal", "temperature_zone": "RT"}).status == 201
    user = "99999999-0000-4000-8000-000000000001"
    for number, mover in enumerate((user, "lab-robot")):
        body = {"reference": f"BY-{number}", "barcode": "B", "to_location": "Goal", "moved_by": mover}
        assert app.ask("POST", "storage/movements", body).json["moved_by"] == mover
    stored = """SELECT moved_by::text, movement_metadata ->> 'moved_by' FROM storage_movement_history
                WHERE container_barcode = 'B' ORDER BY movement_time"""
    assert lab.sql("storage", stored) == [(user, None), (None, "lab-robot")]


def test_a_movement_in_the_monolith_finds_the_number_of_a_stored_sample(lab: Laboratory) -> None:
    ((barcode, number),) = lab.sql(
        "main", "SELECT barcode, sample_id FROM sample_locations ORDER BY id LIMIT 1"
    )
    moved = lab.apps["monolith"].ask("POST", "storage/movements", {"reference": "N-1", "barcode": barcode})
    assert moved.json["sample_id"] == number


def test_a_user_that_others_refer_to_stays(lab: Laboratory) -> None:
    app = lab.apps["monolith"]
    (admin,) = app.ask("GET", "auth/users?email=admin@lab.local").json["items"]
    assert app.ask("DELETE", f"auth/users/{admin['id']}").status == 409
    assert app.ask("GET", f"auth/users/{admin['id']}").json == admin


def test_users_have_a_path_that_no_flag_routes_away(lab: Laboratory) -> None:
    app = lab.apps["monolith"]
    created = app.ask("POST", "users", {"email": "stray@lab.example.org"})
    assert created.status == 201
    assert app.ask("GET", f"auth/users/{created.json['id']}").json == created.json
    assert app.ask("GET", "users?limit=500").json == app.ask("GET", "auth/users?limit=500").json
    assert app.ask("DELETE", f"users/{created.json['id']}").status == 204


def test_the_monolith_writes_down_the_time_of_every_change(lab: Laboratory) -> None:
    """Half of its tables have no trigger for that."""
    app = lab.apps["monolith"]
    for path in ("samples", "templates", "sequencing/jobs", "storage/locations", "notifications"):
        case = CASES[path]
        created = app.ask("POST", path, case.body).json
        patched = app.ask("PATCH", f"{path}/{created['id']}", case.change).json
        assert patched["updated_at"] > created["updated_at"], path
        assert app.ask("DELETE", f"{path}/{created['id']}").status == 204


@pytest.mark.parametrize("path", ["dashboard", "reports", "rag"])
def test_what_only_reads(lab: Laboratory, path: str) -> None:
    answers = [lab.apps["monolith"].ask("GET", path), lab.start(path).ask("GET", path)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].json != answers[1].json
    for name in ("monolith", path):
        assert lab.apps[name].ask("POST", path, {}).status == 405


def test_questions_are_answered_and_leave_no_trace(lab: Laboratory) -> None:
    counting = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    lab.start("rag")
    for name, database in (("monolith", "main"), ("rag", "rag")):
        app = lab.apps[name]
        before = lab.sql(database, counting)
        answered = app.ask("POST", "rag/query", {"query": "How cold is the freezer?"})
        assert answered.status == 200
        assert "-80C" in answered.json["answer"]
        assert app.ask("POST", "rag/query", {"query": "qwertyuiop"}).json["answer"] is None
        for bad in ({}, {"query": ""}, {"query": 1}):
            assert app.ask("POST", "rag/query", bad).status == 422
        if name == "rag":
            assert lab.sql(database, counting) == before
