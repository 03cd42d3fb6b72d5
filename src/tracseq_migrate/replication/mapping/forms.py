"""In which types rows travel, by which text values are compared, and which types hold all that another does."""

from __future__ import annotations

from tracseq_migrate.replication.catalog.model import Type

_TEXTS = frozenset({"text", "character varying", "bpchar", "character"})
_NUMERIC = "numeric"
_WIDER: dict[str, tuple[str, ...]] = {
    "smallint": ("integer", "bigint", "numeric", "real", "double precision"),
    "integer": ("bigint", "numeric", "double precision"),
    "bigint": ("numeric",),
    "real": ("double precision",),
    "date": ("timestamp without time zone",),
    "cidr": ("inet",),
    "name": ("text", "character varying"),
    "uuid": ("text", "character varying"),
    "jsonb": ("json", "text"),
    "json": ("text",),
    "boolean": ("text", "character varying"),
}
"""What holds every value of a type, besides the type itself."""
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_LENGTHS = {"uuid": 36, "boolean": 5, "name": 63}
_NO_BINARY = frozenset({"aclitem", "gtsvector"})


def base_of(given: Type) -> Type:
    """The type itself, or what a domain stands on in the end, with the narrowest length on the way."""
    while given.kind == "domain" and given.base is not None:
        given = given.base
    return given


def shown(given: Type) -> str:
    """A type as people call it: without quotes, and without the schema that everything is in."""
    return given.full.replace('"public".', "").replace('"', "")


def is_text(given: Type) -> bool:
    """Whether its values are texts, whatever their length."""
    base = base_of(given)
    return base.name in _TEXTS or _is_citext(base)


def length_of(given: Type) -> int | None:
    """How many characters a text type holds; None: as many as one likes."""
    shortest: int | None = None
    step: Type | None = given
    while step is not None:
        if step.name in ("character varying", "bpchar", "character") and step.modifier > 4:
            own = step.modifier - 4
            shortest = own if shortest is None else min(shortest, own)
        step = step.base if step.kind == "domain" else None
    return shortest


def wire_of(given: Type) -> str:
    """The type in which its values travel: PostgreSQL's own, without a length, so that no cast cuts anything."""
    base = base_of(given)
    if base.kind == "array" and base.element is not None:
        if base.element.builtin:
            return base.name
        return "text[]" if base.element.kind == "enum" or is_text(base.element) else "text"
    if base.name in _TEXTS or not base.builtin:
        return "text"
    return base.name


def assigned(given: Type, wire: str) -> bool:
    """Whether a value of the wire type is taken by assignment alone; otherwise it is cast to the full type."""
    base = base_of(given)
    if wire == "text":
        return base.name in _TEXTS
    return wire == base.name and (given.kind != "domain" or base.kind == "base")


def passes_binary(given: Type, wire: str) -> bool:
    """Whether the binary form of the wire value is what the column itself reads."""
    base = base_of(given)
    if wire in _NO_BINARY:
        return False
    if wire == "text":
        return base.name in _TEXTS or base.kind == "enum" or _is_citext(base)
    return wire == base.name


def text_of(expression: str, wire: str, *, absent_is_null: bool = False) -> str:
    """The canonical text of an expression of a wire type: the same for equal values, whatever their column's length or scale."""
    if absent_is_null:
        return f"jsonb_strip_nulls({expression})::text"
    if wire == "text":
        return expression
    if wire == _NUMERIC:
        return f"pg_catalog.trim_scale({expression})::text"
    if wire == "numeric[]":
        # Elements take on their column's scale: 1.50 and 1.5 are the same number.
        return (
            f"regexp_replace(regexp_replace(({expression})::text, '(\\.[0-9]*?)0+(?=[,}}])', '\\1', 'g'),"
            " '\\.(?=[,}])', '', 'g')"
        )
    return f"({expression})::text"


def cast(expression: str, wire: str) -> str:
    """An expression as one of a wire type; a column stands as it is."""
    bare = expression.startswith(("a.", "b.")) and expression.endswith('"') and expression.count('"') == 2
    return f"{expression}::{wire}" if bare else f"({expression})::{wire}"


def loses(source: Type, target: Type) -> str:
    """Why a type does not hold every value of another as it is; empty where it does. Nulls are another matter."""
    given, wanted = base_of(source), base_of(target)
    conditions = [check for check in target.checks if check != "NOT NULL"]
    if conditions and (source.name, source.checks) != (target.name, target.checks):
        return f"the domain {shown(target)} has conditions of its own"
    if is_text(source) and is_text(target):
        return _shorter(source, target)
    if given.kind == "enum" and wanted.kind == "enum":
        foreign = [label for label in given.labels if label not in wanted.labels]
        if foreign:
            return f"{shown(target)} has no {_listed(foreign)}"
        return ""
    if given.kind == "enum" and is_text(target):
        longest = max((len(label) for label in given.labels), default=0)
        most = length_of(target)
        return (
            f"{shown(target)} is too short for some of its labels"
            if most is not None and longest > most
            else ""
        )
    if wanted.kind == "enum":
        return f"a {shown(source)} can be something else than a label of {shown(target)}"
    if given.kind == "array" and wanted.kind == "array" and given.element and wanted.element:
        inner = loses(given.element, wanted.element)
        return f"of the elements: {inner}" if inner else ""
    if given.name == wanted.name:
        return _narrower(given, wanted)
    if wanted.name in _WIDER.get(given.name, ()):
        if wanted.name == _NUMERIC and wanted.modifier >= 4:
            precision, scale = _precision(wanted)
            return (
                f"{shown(target)} has too few digits"
                if precision - scale < _DIGITS.get(given.name, 1000)
                else ""
            )
        if is_text(target):
            most = length_of(target)
            needed = _LENGTHS.get(given.name)
            if most is not None and (needed is None or most < needed):
                return f"{shown(target)} is too short"
        return ""
    if given.name == "timestamp without time zone" and wanted.name == "timestamp with time zone":
        return "a timestamp without a zone means a moment only once its zone is said"
    return f"a {shown(source)} is no {shown(target)}"


def _is_citext(base: Type) -> bool:
    return not base.builtin and base.kind == "base" and base.name.endswith('"citext"')


def _shorter(source: Type, target: Type) -> str:
    given, wanted = length_of(source), length_of(target)
    if base_of(target).name in ("bpchar", "character") and base_of(source).name not in (
        "bpchar",
        "character",
    ):
        return f"{shown(target)} drops the blanks at a text's end"
    if wanted is not None and (given is None or given > wanted):
        return f"it holds {'any length' if given is None else f'up to {given} characters'}, and {shown(target)} only {wanted}"
    return ""


def _narrower(given: Type, wanted: Type) -> str:
    if given.modifier == wanted.modifier or wanted.modifier < 0:
        return ""
    if given.name == _NUMERIC:
        if given.modifier < 0:
            return f"it holds any number, and {shown(wanted)} rounds"
        (precision, scale), (most, places) = _precision(given), _precision(wanted)
        if places < scale:
            return f"{shown(wanted)} rounds to {places} places"
        return f"{shown(wanted)} has too few digits" if most - places < precision - scale else ""
    if given.name.startswith(("timestamp", "time")):
        own = 6 if given.modifier < 0 else given.modifier
        return (
            f"{shown(wanted)} rounds to {wanted.modifier} places of a second" if wanted.modifier < own else ""
        )
    if given.name == "bit varying" and 0 <= given.modifier <= wanted.modifier:
        return ""
    return f"{shown(wanted)} is not {shown(given)}"


def _precision(given: Type) -> tuple[int, int]:
    packed = given.modifier - 4
    scale = packed & 0x7FF
    return (packed >> 16) & 0xFFFF, scale - 0x800 if scale >= 0x400 else scale


def _listed(labels: list[str]) -> str:
    shown = ", ".join(map(repr, labels[:6]))
    return f"{shown} and {len(labels) - 6} more" if len(labels) > 6 else shown
