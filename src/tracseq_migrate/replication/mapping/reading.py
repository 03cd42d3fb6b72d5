"""From the bytes of a file to a mapping, with every finding at its place."""

from __future__ import annotations

import json

from pydantic import ValidationError

from tracseq_migrate.document import Document, findings_from, first_of, inspect
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.mapping.model import MappingFile


@frozen
class Source:
    """A mapping that was read, and the document that it stands in."""

    document: Document
    mapping: MappingFile
    text: str

    @property
    def file(self) -> str:
        return self.document.file


def read(body: bytes, file: str) -> Source:
    """Read a mapping.

    Raises:
        InvalidInput: it is no mapping; with every finding.
    """
    document, findings = inspect(body, file)
    if document is None:
        raise InvalidInput(findings)
    try:
        mapping = MappingFile.model_validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        found = findings_from(error, document, model=MappingFile)
        raise InvalidInput(first_of([*findings, *found])) from None
    if not mapping.tables:  # not the model's to say: it would say so, too, where the only entry is wrong
        findings.append(
            document.finding(("tables",), "no table moves", "name at least one: {from: …, to: …, columns: …}")
        )
    if findings:
        raise InvalidInput(first_of(findings))
    return Source(document, mapping, body.decode("utf-8-sig"))
