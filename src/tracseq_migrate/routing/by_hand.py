"""What a person types to put the flags back where the tool cannot: lines for bash."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from tracseq_migrate.ports import Route
from tracseq_migrate.routing import values
from tracseq_migrate.step import BY_HAND, Hands, InstanceHands, Undo, wait_until

_JUDGE = (
    "import json, sys; text = sys.stdin.read() or sys.exit('no answer'); flags = json.loads(text)['feature_flags']; "
    "wrong = [key for key in sys.argv[2:] if flags.get(key) is not (sys.argv[1] == 'true')]; "
    "sys.exit('not so: ' + ', '.join(wrong) if wrong else None)"
)


def lines(undo: Undo, routes: Mapping[str, Route], hands: Hands) -> list[str]:
    """The flag file as it was, the instances started anew, and what each must say then; see `Step.manual`."""
    file = shlex.quote(hands.flag_file or str(undo["location"]))
    typed = [f"# set the flags in {file} as they were", *_file(undo["values"], file)]
    instances = undo.get("instances") or ["every gateway instance"]
    typed.append(f"# start anew, one after the other, so that each reads the file: {', '.join(instances)}")
    wanted = {
        routes[flag].key if flag in routes else hands.keys.get(flag, flag): on
        for flag, on in undo["effective"].items()
    }
    if not hands.instances:
        typed += [*hands.reload, *_told(wanted, "every instance")]
    for instance in hands.instances:
        typed += [*instance.renew, *_seen(wanted, instance), *instance.ready]
    return typed


def _file(before: Mapping[str, str | None], file: str) -> Iterable[str]:
    """Only the values change: quotes, comments and line endings stay."""
    for flag, value in before.items():
        at_its_line = rf"^[[:space:]]*(export[[:space:]]+)?{flag}[[:space:]]*="
        if value is None:
            yield f"sed -i -E --follow-symlinks {shlex.quote(f'/{at_its_line}/d')} {file}"
            continue
        spelled = "".join(f"\\{letter}" if letter in r"\&|" else letter for letter in value)
        # In quotes of either kind, or bare, as the gateway reads it; nothing at all; a comment alone.
        found = (
            ('"[^"]*"', f'"{spelled}"'),
            ("'[^']*'", f"'{spelled}'"),
            ("[^[:space:]\"'#][^[:space:]]*", spelled),
            ("([[:space:]]*)$", rf"{spelled}\3"),
            ("#", f"{spelled} #"),
        )
        edits = (f"s|({at_its_line}[[:blank:]]*){old}|\\1{new}|" for old, new in found)
        yield f"sed -i -E --follow-symlinks {' '.join(f'-e {shlex.quote(edit)}' for edit in edits)} {file}"
        # A file without a line break at its end gets one first, or the flag would become part of its last line.
        added = (
            f'{{ [ -z "$(tail -c 1 {file})" ] || echo; echo {shlex.quote(f"{flag}={value}")}; }} >> {file}'
        )
        yield f"grep -qE {shlex.quote(at_its_line)} {file} || {added}"


def _told(wanted: Mapping[str, bool], where: str) -> Iterable[str]:
    for key, on in wanted.items():
        yield f"{BY_HAND}GET /routing-status at {where}: feature_flags.{key} must be {values.spell(on)}"


def _seen(wanted: Mapping[str, bool], instance: InstanceHands) -> Iterable[str]:
    """The effect is seen at the instance before it comes back into the rotation, and before anything else is touched."""
    if not instance.url:
        yield from _told(wanted, instance.name)
        return
    address = shlex.quote(f"{instance.url}/routing-status")
    for on in (False, True):
        keys = [key for key, want in wanted.items() if want is on]
        if keys:
            judge = shlex.join(["python3", "-c", _JUDGE, values.spell(on), *keys])
            what = f"{instance.name} to say {values.spell(on)} for {', '.join(keys)}"
            yield wait_until(f"curl -fsS {address} | {judge}", what)
