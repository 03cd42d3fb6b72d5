"""The JSON Schema of mapping files, for editors.

`python -m tracseq_migrate.replication.mapping.schema [FOLDER]` prints it, or writes it into a folder.
"""

from __future__ import annotations

import sys
from typing import Any

from tracseq_migrate.document import schema as schemas
from tracseq_migrate.replication.mapping import model as models
from tracseq_migrate.replication.mapping.model import MappingFile, Written


def mapping_schema() -> dict[str, Any]:
    """The schema of the whole file."""
    top = MappingFile.model_json_schema(by_alias=True, ref_template=schemas.REFERENCE)
    schemas.describe(MappingFile, top)
    for name, definition in top["$defs"].items():
        model = getattr(models, name, None)
        if isinstance(model, type) and issubclass(model, Written):
            schemas.describe(model, definition)
    # What may be written as a plain text where it says only one thing.
    table = top["$defs"]["TableEntry"]["properties"]
    for key, plain in (("columns", "A's column."), ("back", "An expression over b and a.")):
        entry = table[key]["additionalProperties"]
        table[key]["additionalProperties"] = {"anyOf": [{"type": "string", "description": plain}, entry]}
    return schemas.finish(
        top,
        title="A mapping of tracseq-migrate",
        description="What becomes of the tables of one database in another, column by column, and how it comes back.",
    )


if __name__ == "__main__":
    schemas.write("mapping.schema.json", mapping_schema(), sys.argv[1:])
