"""Samples, templates and sequencing jobs: in the monolith, and in the service of each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from psycopg import sql

from tracseq_migrate.sandbox.apps.connections import Connection
from tracseq_migrate.sandbox.apps.resource import STAMPS, Field, Resource, Values


def monolith_samples() -> Resource:
    return Resource(
        "samples",
        "samples",
        key="barcode",
        touch=True,
        fields=[
            Field("name", required=True),
            Field("barcode", required=True),
            Field("location", default="unassigned"),
            Field("status"),
            Field("metadata", "json"),
            *STAMPS,
        ],
    )


def service_samples() -> Resource:
    return _ServiceSamples(
        "samples",
        "samples",
        key="barcode",
        fields=[
            Field("name", required=True),
            Field("barcode", required=True),
            Field("sample_type", default="unspecified"),
            Field("status"),
            # The last known place: a sample that left the storage keeps it, as in the monolith.
            Field(
                "location",
                read="(SELECT l.location_id FROM sample_storage_locations l WHERE l.sample_id = t.id"
                " ORDER BY l.id DESC LIMIT 1)",
            ),
            Field("source_type"),
            Field("concentration", "number"),
            Field("volume", "number"),
            Field("unit"),
            Field("quality_score", "number"),
            Field("notes"),
            Field("metadata", "json"),
            Field("created_by"),
            Field("updated_by"),
            *STAMPS,
        ],
    )


def monolith_templates() -> Resource:
    return Resource(
        "templates",
        "templates",
        key="name",
        enforced=False,
        touch=True,
        fields=[
            Field("name", required=True),
            Field("description"),
            Field("file_path", default=lambda: f"uploads/templates/{secrets.token_hex(8)}.xlsx"),
            Field("file_type", default="xlsx"),
            Field("metadata", "json"),
            *STAMPS,
        ],
    )


def service_templates() -> Resource:
    return _ServiceTemplates(
        "templates",
        "templates",
        key="name",
        enforced=False,
        touch=True,
        fields=[
            Field("name", required=True),
            Field("description"),
            Field("category", default="submission"),
            Field("status", default="active"),  # the table's own default is a draft, which no list shows
            Field("version", "whole"),
            Field("template_data", "json", default=dict),
            Field("field_definitions", "json"),
            Field("metadata", "json"),
            Field("is_active", "truth"),
            *STAMPS,
        ],
    )


def monolith_jobs() -> Resource:
    return Resource(
        "sequencing/jobs",
        "sequencing_jobs",
        key="name",
        enforced=False,
        touch=True,
        fields=[
            Field("name", required=True),
            Field("status"),
            Field("sample_sheet_path", default=lambda: f"uploads/sheets/{secrets.token_hex(8)}.csv"),
            Field("metadata", "json"),
            *STAMPS,
        ],
    )


def service_jobs() -> Resource:
    return Resource(
        "sequencing/jobs",
        "sequencing_jobs",
        key="name",
        enforced=False,
        fields=[
            Field("name", column="job_name", required=True),
            Field("job_id", default=lambda: f"JOB-{secrets.token_hex(6).upper()}"),
            Field("description"),
            Field("status"),
            Field("priority"),
            Field("run_type", default="whole_genome"),
            Field("platform", default="illumina_novaseq"),
            Field("sample_count", "whole"),
            Field("notes"),
            *STAMPS,
        ],
    )


class _ServiceSamples(Resource):
    async def finish(self, connection: Connection, identity: object, values: Values) -> None:
        if values.get("location") is None:
            return
        await connection.execute(
            "UPDATE sample_storage_locations SET is_current = false, removed_at = now()"
            " WHERE sample_id = %s AND is_current",
            [identity],
        )
        await connection.execute(
            "INSERT INTO sample_storage_locations (sample_id, location_id) VALUES (%s, %s)",
            [identity, values["location"]],
        )


class _ServiceTemplates(Resource):
    def listed(self, asked: Mapping[str, str]) -> sql.Composable | None:
        return None if "status" in asked else sql.SQL("t.status IS DISTINCT FROM 'draft'")
