"""How the flags reach the gateway: process environment, an env file, a ``.env`` in the working directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dotenv.main import DotEnv
from dotenv.variables import parse_variables
from pydantic import BaseModel, ConfigDict, create_model

from tracseq_migrate.sandbox.gateway.flags import FLAGS, Flag

NESTED_PREFIX = "FEATURE_FLAGS__"


class Settings(BaseModel):
    """The gateway's own settings; a ``.env`` beside it, read into these, may hold no unknown name."""

    model_config = ConfigDict(extra="forbid")


def _bindings(path: Path) -> Iterator[tuple[str, str | None]]:
    for name, value in DotEnv(path, interpolate=False, encoding="utf-8").parse():
        if "\0" in name or "\0" in (value or ""):
            # No process environment can hold it; that is how UTF-16 without a byte order mark shows itself.
            raise ValueError(f"embedded null byte in {path.name}")
        yield name, value


def read_env_file(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The file's variables by lower-case name; the last duplicate wins, across letter case.

    Raises:
        UnicodeDecodeError, ValueError: the file is not UTF-8 text.
    """
    found: dict[str, str] = {}
    seen: dict[str, str | None] = {}
    for name, value in _bindings(path):
        if value is None:
            continue
        around: dict[str, str | None] = {**seen, **environ}
        resolved = "".join(atom.resolve(around) for atom in parse_variables(value))
        seen[name] = resolved
        found[name.lower()] = resolved
    return found


def refuse_unknown_settings(folder: Path) -> None:
    """What the gateway did before it was mended: any name in a ``.env`` beside it is an unknown setting.

    Raises:
        pydantic.ValidationError: there is one.
    """
    path = folder / ".env"
    if path.is_file():
        Settings.model_validate({name.lower(): value for name, value in _bindings(path)})


def read_flags(
    environ: Mapping[str, str],
    *,
    env_file: Path | None,
    folder: Path,
    flags: Iterable[Flag] = FLAGS,
) -> dict[str, bool]:
    """The value of each flag by its key.

    The environment wins over any file, the env file over a ``.env`` in ``folder``, and the nested name over
    the plain one.

    Raises:
        pydantic.ValidationError: a value that is no boolean.
        UnicodeDecodeError, ValueError: a file that is not UTF-8 text.
    """
    merged: dict[str, str] = {}
    beside = folder / ".env"
    for path in (beside if beside.is_file() else None, env_file):
        if path is not None:
            merged.update(read_env_file(path, environ))
    merged.update({name.lower(): value for name, value in environ.items()})

    chosen = list(flags)
    given: dict[str, str] = {}
    for flag in chosen:
        plain = flag.variable.lower()
        for name in (NESTED_PREFIX.lower() + plain, plain):
            if name in merged:
                given[plain] = merged[name]
                break
    fields: dict[str, tuple[type[bool], bool]] = {flag.variable.lower(): (bool, False) for flag in chosen}
    model = create_model("FeatureFlags", **fields)  # type: ignore[call-overload]  # its stub wants literal names
    values = model.model_validate(given).model_dump()
    return {flag.key: values[flag.variable.lower()] for flag in chosen}
