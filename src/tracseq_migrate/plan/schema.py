"""The JSON Schema of week plans, from which editors complete and check.

`python -m tracseq_migrate.plan.schema [FOLDER]` prints it, or writes it into a folder.
"""

from __future__ import annotations

import sys
from typing import Any

from pydantic.json_schema import models_json_schema

from tracseq_migrate.document import schema as schemas
from tracseq_migrate.plan.model import ChecklistItem, Need, Retry, Written
from tracseq_migrate.plan.reading import PARALLEL, WrittenCheck, WrittenEntry, WrittenPlan
from tracseq_migrate.steps import kinds


def week_plan_schema() -> dict[str, Any]:
    """The schema: the plan's own keys, and an entry with exactly one of the kinds there are."""
    known = kinds()
    parts: list[type[Any]] = [ChecklistItem, Need, Retry]
    names, made = models_json_schema(
        [(model, "validation") for model in (*parts, *known.values())],
        by_alias=True,
        ref_template=schemas.REFERENCE,
    )
    named = {model: str(reference["$ref"]).rsplit("/", 1)[-1] for (model, _), reference in names.items()}
    definitions: dict[str, Any] = made["$defs"]
    for model in (*parts, *known.values()):
        schemas.describe(model, definitions[named[model]])
    for kind in known.values():
        definitions[named[kind]]["description"] = kind.summary
    bodies = {name: {"$ref": f"#/$defs/{named[kind]}"} for name, kind in known.items()}
    checks = {name: body for name, body in bodies.items() if known[name].checks}
    definitions["Step"] = _entry(WrittenEntry, bodies, "One step, of exactly one kind.")
    definitions["Check"] = _entry(WrittenCheck, checks, "A question, of exactly one kind.")
    definitions["Group"] = {
        "type": "object",
        "description": "Steps that may run at once.",
        "properties": {PARALLEL: {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Step"}}},
        "required": [PARALLEL],
        "additionalProperties": False,
    }
    top = _own(WrittenPlan)
    top["properties"]["preflight"]["items"] = {"$ref": "#/$defs/Check"}
    top["properties"]["steps"]["items"] = {"oneOf": [{"$ref": "#/$defs/Step"}, {"$ref": "#/$defs/Group"}]}
    return schemas.finish(
        {**top, "$defs": definitions},
        title="A week plan of tracseq-migrate",
        description="What one week needs, asks and does, and how it goes back.",
    )


def _own(model: type[Written]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, ref_template=schemas.REFERENCE)
    schema.pop("$defs", None)  # the parts stand beside it already
    schemas.describe(model, schema)
    return schema


def _entry(model: type[Written], bodies: dict[str, Any], description: str) -> dict[str, Any]:
    own = _own(model)
    return {
        "type": "object",
        "description": description,
        "properties": {**own["properties"], **bodies},
        "required": own.get("required", []),
        "oneOf": [{"required": [name]} for name in bodies],
        "additionalProperties": False,
    }


if __name__ == "__main__":
    schemas.write("week-plan.schema.json", week_plan_schema(), sys.argv[1:])
