"""What a person types to put the flags back where the tool cannot: lines for bash."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from tracseq_migrate.ports import Route
from tracseq_migrate.routing import values
from tracseq_migrate.step import Hands, Undo


def lines(undo: Undo, routes: Mapping[str, Route], hands: Hands) -> list[str]:
    """The flag file as it was, the instances started anew, and what each must say then; see `Step.manual`."""
    file = shlex.quote(hands.flag_file or str(undo["location"]))
    typed = [f"# set the flags in {file} as they were"]
    for flag, value in undo["values"].items():
        at_its_line = rf"^([[:space:]]*(export[[:space:]]+)?{flag}[[:space:]]*=).*"
        if value is None:
            typed.append(f"sed -i -E --follow-symlinks {shlex.quote(f'/{at_its_line}/d')} {file}")
            continue
        spelled = "".join(f"\\{letter}" if letter in r"\&|" else letter for letter in value)
        there = shlex.quote(f"s|{at_its_line}|\\1{spelled}|")
        added = f"echo {shlex.quote(f'{flag}={value}')} >> {file}"
        typed.append(f"sed -i -E --follow-symlinks {there} {file}")
        typed.append(f"grep -qE {shlex.quote(at_its_line)} {file} || {added}")
    instances = undo.get("instances") or ["every gateway instance"]
    typed.append(f"# start anew, one after the other, so that each reads the file: {', '.join(instances)}")
    typed += hands.reload
    for flag, on in undo["effective"].items():
        key = routes[flag].key if flag in routes else hands.keys.get(flag, flag)
        typed.append(
            f"# GET /routing-status at every instance: feature_flags.{key} must be {values.spell(on)}"
        )
    return typed
