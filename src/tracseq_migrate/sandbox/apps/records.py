"""Notifications and spreadsheets: in the monolith, and in the service of each."""

from __future__ import annotations

import hashlib
from uuid import uuid4

from tracseq_migrate.sandbox.apps.connections import Connection
from tracseq_migrate.sandbox.apps.resource import STAMPS, Field, Resource, Values


def monolith_notifications() -> Resource:
    return Resource(
        "notifications",
        "notifications",
        key="subject",
        serial=True,
        enforced=False,
        touch=True,
        fields=[
            Field("subject", column="title", required=True),
            Field("body", column="message", default=""),
            Field("channel", default="in_app"),
            Field("recipient", default="lab"),
            Field("priority", default="normal"),
            Field("is_read", "truth"),
            *STAMPS,
        ],
    )


def service_notifications() -> Resource:
    return Resource(
        "notifications",
        "notifications",
        key="subject",
        enforced=False,
        fields=[
            Field("subject", required=True),
            Field("body", default=""),
            Field("channel", default="in_app"),
            Field("recipient", column="recipient_address", default="lab"),
            Field("priority", default="normal"),
            Field("status"),
            Field("retry_count", "whole", writable=False),
            *STAMPS,
        ],
    )


def monolith_spreadsheets() -> Resource:
    return Resource(
        "spreadsheets",
        "spreadsheet_datasets",
        key="filename",
        enforced=False,
        fields=[
            Field("name", required=True),
            Field("filename", required=True),
            Field("file_type", default="xlsx"),
            Field("file_size", "whole"),
            Field("uploaded_by", "uuid"),
            Field("metadata", "json"),
            Field("description"),
            Field("upload_status", default="completed"),
            Field("total_rows", "whole"),
            *STAMPS,
        ],
    )


def service_spreadsheets() -> Resource:
    return _ServiceSpreadsheets(
        "spreadsheets",
        "spreadsheet_versions",
        key="filename",
        enforced=False,
        fields=[
            Field("name", required=True),
            Field("filename", required=True),
            Field("file_type", default="xlsx"),
            Field("file_size", "whole", column="file_size_bytes", default=0),
            Field("uploaded_by", "uuid", column="created_by"),
            Field("metadata", "json"),
            Field("spreadsheet_id", "uuid", writable=False),
            Field("version_number", "whole", writable=False),
            Field("status", default="published"),
            Field("content_hash"),
            *STAMPS,
        ],
    )


class _ServiceSpreadsheets(Resource):
    async def prepare(self, connection: Connection, values: Values, *, creating: bool) -> Values:
        if creating:
            values |= {"spreadsheet_id": uuid4(), "version_number": 1}
            if values.get("content_hash") is None:
                values["content_hash"] = hashlib.sha256(values["filename"].encode()).hexdigest()
        return values
