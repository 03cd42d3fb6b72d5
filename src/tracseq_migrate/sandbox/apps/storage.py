"""Storage locations and the movements between them: in the monolith, and in the storage service."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from tracseq_migrate.sandbox.apps.connections import Connection
from tracseq_migrate.sandbox.apps.refusals import Invalid
from tracseq_migrate.sandbox.apps.resource import STAMPS, Field, Resource, Values

ZONES: Mapping[str, str] = {
    "-80C": "ultra_low_freezer",
    "-20C": "standard_freezer",
    "4C": "refrigerated",
    "RT": "room_temperature",
    "37C": "incubator",
}
"""The monolith's temperature zones and the service's kinds of zone."""

_RANGES = {
    "ultra_low_freezer": "[-85,-75]",
    "standard_freezer": "[-25,-15]",
    "refrigerated": "[2,8]",
    "room_temperature": "[18,25]",
    "incubator": "[35,39]",
}


def monolith_locations() -> Resource:
    return Resource(
        "storage/locations",
        "storage_locations",
        key="name",
        serial=True,
        fields=[
            Field("name", required=True),
            Field("description"),
            Field("temperature_zone", required=True),
            Field("capacity", "whole"),
            Field("current_usage", "whole"),
            Field("container_type", default="box"),
            Field("location_path"),
            Field("is_active", "truth"),
            *STAMPS,
        ],
    )


def service_locations() -> Resource:
    """Speaks of temperature zones as the monolith did, so that clients need not change, and of its own kinds besides."""
    return _ServiceLocations(
        "storage/locations",
        "storage_locations",
        key="name",
        enforced=False,
        fields=[
            Field("name", required=True),
            Field("description", column="location_metadata", key="description"),
            Field("temperature_zone", column="zone_type", labels=ZONES, required=True),
            Field("zone_type", read="t.zone_type::text", writable=False),
            Field("zone_identifier"),
            Field(
                "temperature_range",
                column="temperature_range",
                read="t.temperature_range::text",
                writable=False,
            ),
            Field("capacity", "whole", default=100),
            Field("current_usage", "whole", column="occupied"),
            Field("container_type", column="location_metadata", key="container_type", default="box"),
            Field("location_path", column="location_metadata", key="location_path"),
            Field("operational_status"),
            Field("equipment_id"),
            Field("is_active", "truth"),
            *STAMPS,
        ],
    )


def monolith_movements() -> Resource:
    return _MonolithMovements(
        "storage/movements",
        "storage_movement_history",
        key="reference",
        serial=True,
        enforced=False,
        append_only=True,
        fields=[
            Field("reference", column="notes", required=True),
            Field("barcode", required=True),
            Field(
                "from_location",
                column="from_location_id",
                read="(SELECT l.name FROM storage_locations l WHERE l.id = t.from_location_id)",
            ),
            Field(
                "to_location",
                column="to_location_id",
                read="(SELECT l.name FROM storage_locations l WHERE l.id = t.to_location_id)",
            ),
            Field("from_state"),
            Field("to_state", default="instorage"),
            Field("reason", column="movement_reason", default="unspecified"),
            Field("moved_by", default="system"),
            Field("moved_at", "moment", default=lambda: datetime.now(UTC)),
            Field("sample_id", "whole", writable=False),
        ],
    )


def service_movements() -> Resource:
    return _ServiceMovements(
        "storage/movements",
        "storage_movement_history",
        key="reference",
        enforced=False,
        append_only=True,
        fields=[
            Field("reference", column="movement_metadata", key="reference", required=True),
            Field("barcode", column="container_barcode", required=True),
            Field(
                "from_location",
                column="from_location_id",
                read="(SELECT l.name FROM storage_locations l WHERE l.id = t.from_location_id)",
            ),
            Field(
                "to_location",
                column="to_location_id",
                read="(SELECT l.name FROM storage_locations l WHERE l.id = t.to_location_id)",
            ),
            Field("movement_type", writable=False),
            Field("reason", default="unspecified"),
            Field(
                "moved_by",
                column="moved_by",
                read="coalesce(t.moved_by::text, t.movement_metadata ->> 'moved_by')",
                default="system",
            ),
            # The column takes users only; whoever is none is kept by name.
            Field("moved_by_name", column="movement_metadata", key="moved_by", writable=False),
            Field("moved_at", "moment", column="movement_time", default=lambda: datetime.now(UTC)),
            Field("chain_of_custody_signed", "truth"),
        ],
    )


class _ServiceLocations(Resource):
    async def prepare(self, connection: Connection, values: Values, *, creating: bool) -> Values:
        zone = values.get("temperature_zone")
        if zone is not None:
            if zone not in _RANGES:
                raise Invalid(f"temperature_zone: {zone} is none")
            values["temperature_range"] = _RANGES[zone]
        if creating and values.get("zone_identifier") is None:
            values["zone_identifier"] = f"Z-{secrets.token_hex(5).upper()}"
        return values


class _Movements(Resource):
    async def prepare(self, connection: Connection, values: Values, *, creating: bool) -> Values:
        for end in ("from_location", "to_location"):
            if values.get(end) is not None:
                found = await connection.execute(
                    "SELECT id FROM storage_locations WHERE name = %s", [values[end]]
                )
                location = await found.fetchone()
                if location is None:
                    raise Invalid(f"{end}: no location of this name: {values[end]}")
                values[end] = location["id"]
        return values


class _MonolithMovements(_Movements):
    async def prepare(self, connection: Connection, values: Values, *, creating: bool) -> Values:
        values = await super().prepare(connection, values, creating=creating)
        query = "SELECT sample_id FROM sample_locations WHERE barcode = %s"
        stored = await (await connection.execute(query, [values["barcode"]])).fetchone()
        values["sample_id"] = stored["sample_id"] if stored else 0
        return values


class _ServiceMovements(_Movements):
    async def prepare(self, connection: Connection, values: Values, *, creating: bool) -> Values:
        values = await super().prepare(connection, values, creating=creating)
        match (values.get("from_location"), values.get("to_location")):
            case (None, _):
                values["movement_type"] = "storage"
            case (_, None):
                values["movement_type"] = "retrieval"
            case _:
                values["movement_type"] = "relocation"
        mover = values.get("moved_by")
        try:
            values["moved_by"] = UUID(mover) if mover else None
        except ValueError:
            values |= {"moved_by": None, "moved_by_name": mover}
        return values
