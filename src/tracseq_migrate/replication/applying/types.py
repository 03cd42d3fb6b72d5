"""What equality means for a type: whether equal values are the same, and where its operator lives."""

from __future__ import annotations

from tracseq_migrate.replication.catalog.model import Type

_EXACT = frozenset(
    {
        "smallint",
        "integer",
        "bigint",
        "oid",
        "uuid",
        "text",
        "character varying",
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
        "time without time zone",
        "boolean",
        "bytea",
        "inet",
        "macaddr",
        '"char"',
        "name",
    }
)


def base_of(kind: Type) -> Type:
    """The type under a domain, else the type itself."""
    while kind.base is not None:
        kind = kind.base
    return kind


def exact(kind: Type) -> bool:
    """Whether two equal values are one and the same (1.0 and 1.00 are equal as ``numeric`` and not the same).

    Texts are, since a key of a collation that is not deterministic is refused.
    """
    base = base_of(kind)
    return base.kind == "enum" or base.name in _EXACT


def equal(left: str, right: str, kind: Type) -> str:
    """``left = right``. With a search path of pg_catalog alone, the operator of an extension's type must be named in full."""
    base = base_of(kind)
    if base.builtin or base.kind not in ("base", "range", "multirange"):
        return f"{left} = {right}"
    schema = base.name[: _schema_end(base.name)]
    return f"{left} OPERATOR({schema}.=) {right}" if schema and base.kind == "base" else f"{left} = {right}"


def _schema_end(name: str) -> int:
    """Where the schema of a quoted, qualified name ends; 0 where there is none."""
    inside = False
    for position, character in enumerate(name):
        if character == '"':
            inside = not inside
        elif character == "." and not inside:
            return position
    return 0
