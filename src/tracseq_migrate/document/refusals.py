"""What a model refused, as findings at the places of the document, in words for the one who wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from tracseq_migrate.document.builder import MOST_FINDINGS
from tracseq_migrate.document.places import Path
from tracseq_migrate.document.reader import Document
from tracseq_migrate.document.wording import NAME_PATTERN, closest, quoted
from tracseq_migrate.errors import Finding
from tracseq_migrate.frozen import frozen

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "text": ("string_type",),
    "a whole number": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
    "a number": ("float_type", "float_parsing"),
    "true or false": ("bool_type", "bool_parsing"),
    "a list": ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"),
    "a mapping": ("dict_type", "model_type", "model_attributes_type", "mapping_type", "dataclass_type"),
}
_NOUN = {kind: noun for noun, kinds in _EXPECTED.items() for kind in kinds}
_SHAPES = {
    NAME_PATTERN: "small letters, digits and dashes, a letter first",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and underscores, no digit first",
}
_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})


@frozen
class _Refusal:
    path: Path
    labelled: bool
    """Whether the model's way to it has parts that the document has not: it comes from one member of a union."""
    details: ErrorDetails

    @property
    def of_key(self) -> bool:
        """Whether it is the key that was refused, not the value."""
        return "[key]" in self.details["loc"] or bool(self.details.get("ctx", {}).get("at_key"))


def first_of(findings: Iterable[Finding]) -> list[Finding]:
    """The findings of one file in its order, each once, and no more than anybody reads at once."""
    found = sorted(set(findings))
    if len(found) <= MOST_FINDINGS:
        return found
    last = found[MOST_FINDINGS]
    message = f"more than {MOST_FINDINGS:,} findings: from here on, they are not told"
    rest = Finding(last.file, last.line, last.column, message, "mend those above first")
    return [*found[:MOST_FINDINGS], rest]


def findings_from(
    error: ValidationError, document: Document, *, at: Path = (), model: type[BaseModel] | None = None
) -> list[Finding]:
    """The findings of one refusal.

    Args:
        at: where in the document the refused value stands.
        model: what refused it; with it, unknown keys get a suggestion.
    """
    refusals = []
    for details in error.errors(include_url=False)[: MOST_FINDINGS + 1]:
        loc = tuple(part for part in details["loc"] if part != "[key]")
        named = loc[:-1] if details["type"] in ("missing", "extra_forbidden") else loc
        path = document.places.known((*at, *named))
        refusals.append(_Refusal(path, len(path) != len(at) + len(named), details))
    groups: dict[Path, list[_Refusal]] = {}
    above = {refusal.path[:depth] for refusal in refusals for depth in range(len(refusal.path))}
    for refusal in refusals:
        if refusal.labelled and refusal.path in above:
            continue  # another member of the union came further: what it says is what was meant
        groups.setdefault(refusal.path, []).append(refusal)
    findings: list[Finding] = []
    keys = _Keys(model, at)
    for path, group in groups.items():
        findings += _of_group(path, group, document, keys)
    return list(dict.fromkeys(findings))


def _of_group(path: Path, group: Sequence[_Refusal], document: Document, keys: _Keys) -> list[Finding]:
    findings: list[Finding] = []
    nouns: list[str] = []
    choices: list[str] = []
    for refusal in group:
        details = refusal.details
        kind, last = details["type"], details["loc"][-1] if details["loc"] else ""
        if kind == "missing":
            findings.append(document.finding(path, f"missing key '{last}'", key=False))
        elif kind == "extra_forbidden":
            remedy = document.did_you_mean(str(last), keys.known(path), what="keys")
            findings.append(
                document.finding((*path, last), f"unknown key {quoted(str(last))}", remedy, key=True)
            )
        elif kind in _NOUN:
            nouns.append(_NOUN[kind])
        elif kind in ("literal_error", "enum"):
            choices += _choices(str(details.get("ctx", {}).get("expected", "")))
        else:
            findings.append(_single(path, refusal, document))
    if nouns or choices:
        findings.append(_mismatch(path, nouns, choices, document))
    return findings


def _choices(expected: str) -> list[str]:
    return [part.strip() for part in expected.replace(" or ", ", ").split(", ") if part.strip()]


def _mismatch(path: Path, nouns: Iterable[str], choices: Sequence[str], document: Document) -> Finding:
    found = document.at(path)
    named = list(dict.fromkeys(choices))
    one_of = [f"one of {', '.join(named)}" if len(named) > 1 else named[0]] if named else []
    expected = " or ".join([*one_of, *dict.fromkeys(nouns)])
    key = f"'{path[-1]}': " if path and isinstance(path[-1], str) else ""
    return document.finding(
        path,
        f"{key}expected {expected}, found {quoted(found)}",
        _remedy(found, expected, [choice.strip("'") for choice in named]),
    )


def _remedy(found: Any, expected: str, choices: Sequence[str]) -> str:
    if found is None:
        return "give it a value, or take the key away"
    if isinstance(found, str):
        near = closest(found, choices)
        if near:
            return f"did you mean '{near}'?"
        if "true or false" in expected:
            return "write true or false" if found.casefold() in _OLD_BOOLEANS else ""
        if "number" in expected and found.strip().isdecimal():
            return "take the quotes away"
    if isinstance(found, (bool, int, float)) and expected == "text":
        return "put it in quotes"
    if expected == "a list" and not isinstance(found, dict):
        return "write it as a list: [...]"
    return ""


def _single(path: Path, refusal: _Refusal, document: Document) -> Finding:
    details = refusal.details
    context: Mapping[str, Any] = details.get("ctx", {})
    found = quoted(path[-1] if refusal.of_key else document.at(path))
    remedy = str(context.get("remedy", ""))
    match details["type"]:
        case "value_error" | "assertion_error":
            message = str(context.get("error", details["msg"]))
        case "greater_than_equal":
            message = f"{found} is too small: at least {context['ge']}"
        case "greater_than":
            message = f"{found} is too small: more than {context['gt']}"
        case "less_than_equal":
            message = f"{found} is too large: at most {context['le']}"
        case "less_than":
            message = f"{found} is too large: less than {context['lt']}"
        case "too_short":
            message = f"too few entries: at least {context['min_length']}"
        case "too_long":
            message = f"too many entries: at most {context['max_length']}"
        case "string_too_short":
            message = "the text must not be empty" if context["min_length"] == 1 else f"{found} is too short"
        case "string_too_long":
            message = f"the text is too long: at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            pattern = str(context["pattern"])
            message = f"{found} is not of the right form"
            remedy = _SHAPES.get(pattern) or (
                "it begins with /" if pattern.startswith("^/") else f"it fits {pattern}"
            )
        case _:
            text = details["msg"]
            message = text if context.get("verbatim") else text[:1].lower() + text[1:]
    return document.finding(path, message, remedy, key=refusal.of_key)


class _Keys:
    """The keys that a model knows at a path, read off its JSON Schema: whatever types it is made of, that one is plain."""

    def __init__(self, model: type[BaseModel] | None, at: Path) -> None:
        self._schema = _schema_of(model) if model is not None else {}
        self._depth = len(at)
        self._known: dict[Path, frozenset[str]] = {}

    def known(self, path: Path) -> frozenset[str]:
        if path not in self._known:
            self._known[path] = self._found(path[self._depth :])
        return self._known[path]

    def _found(self, way: Path) -> frozenset[str]:
        definitions = self._schema.get("$defs", {})
        nodes = _plain(self._schema, definitions)
        for part in way:
            inner: list[dict[str, Any]] = []
            for node in nodes:
                inner += _into(node, part)
            nodes = [plain for node in inner for plain in _plain(node, definitions)]
        return frozenset(key for node in nodes for key in node.get("properties", {}))


@cache
def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _plain(schema: Any, definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a schema, references followed."""
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        return _plain(definitions.get(str(schema["$ref"]).rsplit("/", 1)[-1]), definitions)
    nodes = [schema]
    for word in ("anyOf", "oneOf", "allOf"):
        for member in schema.get(word, ()):
            nodes += _plain(member, definitions)
    return nodes


def _into(node: Mapping[str, Any], part: str | int) -> list[dict[str, Any]]:
    if isinstance(part, int):
        return [node[word] for word in ("items",) if isinstance(node.get(word), dict)]
    properties = node.get("properties", {})
    if part in properties:
        return [properties[part]]
    rest = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
    return [each for each in rest if isinstance(each, dict)]
