"""How names and values stand in a statement. Every identifier and every literal in SQL goes through here."""

from __future__ import annotations

SCHEMA = "tracseq_migrate"
"""Where everything lies that the tool makes inside of a database."""


def quoted(*parts: str) -> str:
    """An identifier, always in quotes: ``quoted("public", "users")`` is ``"public"."users"``.

    Raises:
        ValueError: a part is empty or has a NUL: PostgreSQL has no such name.
    """
    for part in parts:
        if not part or "\0" in part:
            raise ValueError(f"{part!r} is no name of PostgreSQL's")
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def listed(names: tuple[str, ...] | list[str], *, of: str = "") -> str:
    """Columns, quoted, with commas between; each behind the alias ``of`` where one is given."""
    return ", ".join(f"{of}.{quoted(name)}" if of else quoted(name) for name in names)


def literal(value: str | int | bool | None) -> str:
    """A value as it stands in a statement; a text is one whatever `standard_conforming_strings` says.

    Raises:
        ValueError: a text has a NUL: PostgreSQL cannot hold it.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"
    if "\0" in value:
        raise ValueError("a text of PostgreSQL's has no NUL")
    doubled = value.replace("'", "''")
    return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in doubled else "'" + doubled + "'"


def ours(name: str) -> str:
    """An object of the tool's own, quoted, in its schema. PostgreSQL cuts names at 63 bytes: longer ones are refused here.

    Raises:
        ValueError: the name would be cut.
    """
    if len(name.encode()) > 63:
        raise ValueError(f"{name!r} is longer than the 63 bytes that PostgreSQL keeps of a name")
    return quoted(SCHEMA, name)
