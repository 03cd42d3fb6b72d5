"""The JSON Schema of the environment file, for editors.

`python -m tracseq_migrate.config.schema [FOLDER]` prints it, or writes it into a folder.
"""

from __future__ import annotations

import sys
from typing import Any

from tracseq_migrate.config import environment as models
from tracseq_migrate.config.unknown import Section
from tracseq_migrate.document import schema as schemas


def environment_schema() -> dict[str, Any]:
    """The schema of the whole file."""
    top = models.EnvironmentFile.model_json_schema(by_alias=True, ref_template=schemas.REFERENCE)
    schemas.describe(models.EnvironmentFile, top)
    for name, definition in top["$defs"].items():
        model = getattr(models, name, None)
        if isinstance(model, type) and issubclass(model, Section):
            schemas.describe(model, definition)
    return schemas.finish(
        top,
        title="An environment file of tracseq-migrate",
        description="Where a system runs, and how it is touched: gateway, services, databases, state.",
    )


if __name__ == "__main__":
    schemas.write("environment.schema.json", environment_schema(), sys.argv[1:])
