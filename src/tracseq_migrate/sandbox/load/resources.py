"""The resources of a TracSeq, as clients and either database know them.

Written down from the interface and from the tables, not taken from the applications.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracseq_migrate.sandbox.load import bodies
from tracseq_migrate.sandbox.load.resource import Page, Resource, Shape


def _same(*fields: str) -> dict[str, str]:
    return {field: field for field in fields}


_USER = {
    **_same("first_name", "last_name"),
    "role": "role::text",
    "status": "status::text",
    **_same("department", "position", "lab_affiliation", "phone", "email_verified"),
}
_MOVEMENTS = """storage_movement_history m
    LEFT JOIN storage_locations f ON f.id = m.from_location_id
    LEFT JOIN storage_locations t ON t.id = m.to_location_id"""

RESOURCES: Mapping[str, Resource] = {
    resource.name: resource
    for resource in (
        Resource(
            name="users",
            flag="auth",
            database="auth",
            prefix="/api/auth",
            path="/api/auth/users",
            key="email",
            create=bodies.user,
            change=bodies.user_change,
            old=Shape("users", "email", _USER),
            new=Shape("users", "email", _USER),
            login=bodies.login,
        ),
        Resource(
            name="samples",
            flag="samples",
            database="samples",
            prefix="/api/samples",
            path="/api/samples",
            key="barcode",
            create=bodies.sample,
            change=bodies.sample_change,
            old=Shape(
                "samples",
                "barcode",
                {"name": "name", "status": "status::text", **_same("location", "metadata")},
            ),
            new=Shape(
                "samples s",
                "s.barcode",
                {
                    "name": "s.name",
                    "status": "s.status::text",
                    # All that are current, so that two of them differ from the one expected.
                    "location": "(SELECT string_agg(l.location_id, ' and ') FROM sample_storage_locations l"
                    " WHERE l.sample_id = s.id AND l.is_current)",
                    "metadata": "s.metadata",
                },
            ),
        ),
        Resource(
            name="templates",
            flag="templates",
            database="templates",
            prefix="/api/templates",
            path="/api/templates",
            key="name",
            create=bodies.template,
            change=bodies.template_change,
            old=Shape("templates", "name", _same("description", "metadata")),
            new=Shape("templates", "name", _same("description", "metadata")),
        ),
        Resource(
            name="locations",
            flag="storage",
            database="storage",
            prefix="/api/storage",
            path="/api/storage/locations",
            key="name",
            create=bodies.location,
            change=bodies.location_change,
            old=Shape(
                "storage_locations",
                "name",
                {
                    "description": "description",
                    "temperature_zone": "temperature_zone::text",
                    **_same("capacity", "current_usage"),
                    "container_type": "container_type::text",
                    **_same("location_path", "is_active"),
                },
            ),
            new=Shape(
                "storage_locations",
                "name",
                {
                    "description": "location_metadata->>'description'",
                    "temperature_zone": "CASE zone_type::text WHEN 'ultra_low_freezer' THEN '-80C'"
                    " WHEN 'standard_freezer' THEN '-20C' WHEN 'refrigerated' THEN '4C'"
                    " WHEN 'room_temperature' THEN 'RT' WHEN 'incubator' THEN '37C' END",
                    "capacity": "capacity",
                    "current_usage": "occupied",
                    "container_type": "location_metadata->>'container_type'",
                    "location_path": "location_metadata->>'location_path'",
                    "is_active": "is_active",
                },
            ),
        ),
        Resource(
            name="movements",
            flag="storage",
            database="storage",
            prefix="/api/storage",
            path="/api/storage/movements",
            key="reference",
            create=bodies.movement,
            change=None,
            old=Shape(
                _MOVEMENTS,
                "m.notes",
                {
                    "barcode": "m.barcode",
                    "from_location": "f.name",
                    "to_location": "t.name",
                    "reason": "m.movement_reason",
                    "moved_by": "m.moved_by",
                    "moved_at": "m.moved_at",
                },
            ),
            new=Shape(
                _MOVEMENTS,
                "m.movement_metadata->>'reference'",
                {
                    "barcode": "m.container_barcode",
                    "from_location": "f.name",
                    "to_location": "t.name",
                    "reason": "m.reason",
                    "moved_by": "coalesce(m.movement_metadata->>'moved_by', m.moved_by::text)",
                    "moved_at": "m.movement_time",
                },
            ),
            by_id=False,
            at_location="to_location",
        ),
        Resource(
            name="jobs",
            flag="sequencing",
            database="sequencing",
            prefix="/api/sequencing",
            path="/api/sequencing/jobs",
            key="name",
            create=bodies.job,
            change=bodies.job_change,
            old=Shape("sequencing_jobs", "name", {"status": "status::text"}),
            new=Shape("sequencing_jobs", "job_name", {"status": "status::text"}),
        ),
        Resource(
            name="notifications",
            flag="notifications",
            database="notifications",
            prefix="/api/notifications",
            path="/api/notifications",
            key="subject",
            create=bodies.notification,
            change=bodies.notification_change,
            old=Shape(
                "notifications", "title", {"body": "message", **_same("channel", "recipient", "priority")}
            ),
            new=Shape(
                "notifications",
                "subject",
                {
                    "body": "body",
                    "channel": "channel::text",
                    "recipient": "recipient_address",
                    "priority": "priority::text",
                },
            ),
        ),
        Resource(
            name="spreadsheets",
            flag="spreadsheet",
            database="spreadsheets",
            prefix="/api/spreadsheets",
            path="/api/spreadsheets",
            key="filename",
            create=bodies.spreadsheet,
            change=bodies.spreadsheet_change,
            old=Shape(
                "spreadsheet_datasets", "filename", _same("name", "file_type", "file_size", "metadata")
            ),
            new=Shape(
                "spreadsheet_versions",
                "filename",
                {**_same("name", "file_type"), "file_size": "file_size_bytes", "metadata": "metadata"},
            ),
        ),
    )
}

PAGES = (
    Page("GET", "/api/dashboard", "/api/dashboard"),
    Page("GET", "/api/reports", "/api/reports"),
    Page("GET", "/api/rag", "/api/rag"),
    Page("POST", "/api/rag", "/api/rag/query", {"query": "how is a sample stored?"}),
)
