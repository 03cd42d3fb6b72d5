"""The types of values in the environment file. Each lets an unknown value pass, and says plainly what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from tracseq_migrate.config.unknown import Unknown
from tracseq_migrate.document import quoted

FLAG = r"^[A-Za-z_][A-Za-z0-9_]*$"


def refusal(message: str, remedy: str = "") -> PydanticCustomError:
    """What a validator raises: the message as it is to be read, and its remedy."""
    return PydanticCustomError(
        "refused", "{message}", {"message": message, "remedy": remedy, "verbatim": True}
    )


def _text(value: Any) -> str:
    if isinstance(value, Path):  # a default
        return str(value)
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    if not value.strip():
        raise refusal("the text must not be empty")
    return value


def _known(check: Callable[[str, ValidationInfo], Any]) -> Callable[[Any, ValidationInfo], Any]:
    def validate(value: Any, info: ValidationInfo) -> Any:
        return value if isinstance(value, Unknown) else check(_text(value), info)

    return validate


def _url(value: str, _info: ValidationInfo) -> str:
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise refusal(f"{quoted(value)} is not a URL", "such as http://127.0.0.1:8089") from None
    if parts.scheme not in ("http", "https"):
        raise refusal(f"{quoted(value)} is not an http or https URL", "such as http://127.0.0.1:8089")
    if not host or port == 0 or re.search(r"\s", value):
        raise refusal(f"{quoted(value)} names no host to connect to", "such as http://127.0.0.1:8089")
    if parts.query or parts.fragment:
        raise refusal(f"{quoted(value)} has a query or a fragment", "only the base of the URL belongs here")
    return value.rstrip("/")


def _below(value: str, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    path = Path(value)
    return path if folder is None or path.is_absolute() else Path(folder) / path


def _folder(value: str, info: ValidationInfo) -> Path:
    if "://" in value:
        raise refusal("the state is kept in a folder", "such as .tracseq-migrate")
    return _below(value, info)


def _dsn(value: str, _info: ValidationInfo) -> str:
    # The text is a secret, so no message quotes it.
    text = value.strip()
    if re.match(r"postgres(?:ql)?://", text) or re.match(r"\w+\s*=", text):
        return text
    raise refusal(
        "this is not a connection string of PostgreSQL",
        "such as postgresql://user:password@host:5432/name, best kept in a file: or a variable",
    )


def _request_path(value: str, _info: ValidationInfo) -> str:
    if not value.startswith("/") or re.search(r"[\s#]", value):
        raise refusal(f"{quoted(value)} is not the path of a URL", "it begins with /, such as /health")
    return value


def _prefix(value: str, _info: ValidationInfo) -> str:
    if not value.startswith("/") or value == "/" or value.endswith("/") or re.search(r"[\s#?]|//", value):
        raise refusal(
            f"{quoted(value)} is not a path prefix",
            "it begins with /, does not end with one, and has no query: such as /api/storage",
        )
    return value


def _argv(value: Any, handler: Callable[[Any], tuple[str, ...]]) -> tuple[str, ...] | Unknown:
    if isinstance(value, (list, tuple)):
        unknown = next((item for item in value if isinstance(item, Unknown)), None)
        if unknown is not None:
            return unknown
    return handler(value)


def _text_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1, **more})


Text = Annotated[str, PlainValidator(_known(lambda value, _: value)), _text_schema()]
Url = Annotated[
    str, PlainValidator(_known(_url)), _text_schema(examples=["http://127.0.0.1:8089", "${GATEWAY_URL}"])
]
FilePath = Annotated[Path, PlainValidator(_known(_below)), _text_schema()]
StateFolder = Annotated[Path, PlainValidator(_known(_folder)), _text_schema(examples=[".tracseq-migrate"])]
Dsn = Annotated[
    str, PlainValidator(_known(_dsn)), _text_schema(examples=["file:secrets/main.dsn", "${MAIN_DSN}"])
]
RequestPath = Annotated[str, PlainValidator(_known(_request_path)), _text_schema(examples=["/health"])]
Prefix = Annotated[str, PlainValidator(_known(_prefix)), _text_schema(examples=["/api/storage"])]
_Word = Annotated[str, Field(min_length=1)]
Argv = Annotated[tuple[_Word, ...], Field(strict=False, min_length=1), WrapValidator(_argv)]
"""A program and its arguments; unknown as a whole where one of them is."""
