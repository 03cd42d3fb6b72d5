"""`tracseq-migrate sandbox`: a whole small TracSeq on this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

app = typer.Typer(
    help="A whole small TracSeq on this machine: real processes, real PostgreSQL, a real proxy.",
    no_args_is_help=True,
)


class GatewayKind(StrEnum):
    PROXY = "proxy"
    SINGLE = "single"


class ProxyKind(StrEnum):
    AUTO = "auto"
    HAPROXY = "haproxy"
    CADDY = "caddy"
    NONE = "none"


class GatewayFault(StrEnum):
    STRICT_ENV = "strict-env"
    ENV_SHADOW = "env-shadow"
    STUCK_FLAG = "stuck-flag"
    SLOW_START = "slow-start"
    UNKNOWN_FLAG = "unknown-flag"
    ONE_MAP = "one-map"


class Fault(StrEnum):
    SERVICE_500 = "service-500"
    SERVICE_SLOW = "service-slow"
    SERVICE_DEAD = "service-dead"
    GATEWAY_NO_START = "gateway-no-start"
    DATABASE_DOWN = "database-down"
    DISK_FULL = "disk-full"


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


_Choice = TypeVar("_Choice", bound=StrEnum)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="DIR", help="The sandbox's folder. Default: the one we are in, else .sandbox."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

_DEFAULT = Path(".sandbox")


def _chosen(folder: Path | None) -> Path:
    """The folder that was given; else the sandbox that the present folder is in; else the usual one below it."""
    if folder is not None:
        return folder
    from tracseq_migrate.sandbox.layout import around

    return around(Path.cwd()) or _DEFAULT


def _one_of(choices: type[_Choice], what: str) -> Callable[[str], _Choice]:
    """A parser that names what there is, for an argument or option of these choices."""

    def parse(text: str) -> _Choice:
        try:
            return choices(text)
        except ValueError:
            import difflib

            near = difflib.get_close_matches(text, list(choices), n=1, cutoff=0.5)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise typer.BadParameter(
                f"there is no {what} {text}{meant}; there is {', '.join(choices)}"
            ) from None

    return parse


def _need_extra() -> None:
    """Raise `InvalidSetup` where the packages of the sandbox are not installed."""
    import importlib.util

    missing = [name for name in ("aiohttp", "psutil", "supervisor") if not importlib.util.find_spec(name)]
    if missing:
        from tracseq_migrate.errors import InvalidSetup

        raise InvalidSetup(
            f"the sandbox needs {', '.join(missing)}", hint="Type `pip install 'tracseq-migrate[sandbox]'`."
        )


def _progress(context: typer.Context) -> Callable[[str], None]:
    """Where progress goes: to stderr, and nowhere under --quiet."""
    quiet = bool(getattr(context.obj, "quiet", False))
    return lambda line: None if quiet else typer.echo(f"  {line}", err=True)


def _print_json(document: Mapping[str, Any]) -> None:
    import json

    typer.echo(json.dumps(document, indent=2))


def _summary(document: Mapping[str, Any]) -> str:
    """What a person wants to know of a sandbox: is it well, where is it, what to type next."""
    from tracseq_migrate.sandbox.layout import SYNC

    states: dict[str, str] = document["states"]
    services = set(document["services"])
    resting = {SYNC} if states.get(SYNC) == "stopped" else set()  # until a replication begins
    base = {name: state for name, state in states.items() if name not in services | resting}
    ill = [f"{name} {state}" for name, state in base.items() if state != "running"]
    started = [name for name in document["services"] if states[name] == "running"]
    if document["orphans"]:
        health = f"NOT WELL: its supervisor is gone, {len(document['orphans'])} processes are left; `down` ends them"
    elif not document["running"]:
        health = "stopped"
    elif ill:
        health = "NOT WELL: " + ", ".join(ill)
    else:
        health = "running: " + ", ".join(base)
    proxy = document["proxy"]["kind"]
    count = len(document["gateway"]["instances"])
    behind = f"{count} instances behind {proxy}" if proxy != "none" else "one instance, no proxy"
    rows = [
        ("sandbox", document["dir"]),
        ("state", health),
        ("gateway", f"{document['gateway']['url']}  ({behind})"),
        (
            "services",
            ", ".join(started) + " started" if started else "none started yet: a week plan starts them",
        ),
        ("flag file", document["flag_file"]),
    ]
    if document["faults"] or document["gateway"]["faults"]:
        rows.append(("faults", ", ".join([*document["gateway"]["faults"], *document["faults"]])))
    return "\n".join(f"{name:<10} {value}" for name, value in rows)


def _option(folder: Path) -> str:
    import shlex

    return "" if folder == _DEFAULT else f" --dir {shlex.quote(str(folder))}"


@app.command()
def up(
    context: typer.Context,
    folder: Folder = None,
    port_base: Annotated[
        int | None,
        typer.Option(
            "--port-base", metavar="N", min=1024, max=65500, help="Use ports N, N+1, … Default: free ones."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same rows.")] = 1,
    users: Annotated[
        int, typer.Option("--users", metavar="N", min=0, help="Ordinary users beside the awkward.")
    ] = 200,
    gateway: Annotated[
        GatewayKind,
        typer.Option(
            "--gateway",
            metavar="proxy|single",
            parser=_one_of(GatewayKind, "gateway"),
            help="Two instances, or one.",
        ),
    ] = GatewayKind.PROXY,
    proxy: Annotated[
        ProxyKind,
        typer.Option(
            "--proxy",
            metavar="|".join(ProxyKind),
            parser=_one_of(ProxyKind, "proxy"),
            help="What stands in front.",
        ),
    ] = ProxyKind.AUTO,
    gateway_fault: Annotated[
        list[GatewayFault] | None,
        typer.Option(
            "--gateway-fault",
            metavar="NAME",
            parser=_one_of(GatewayFault, "gateway fault"),
            help="A fault of the real gateway; may be repeated: " + ", ".join(GatewayFault),
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Start a sandbox: databases, monolith, gateway, proxy; the services wait for their weeks."""
    _need_extra()
    import shlex

    from tracseq_migrate.sandbox import lifecycle

    folder = _chosen(folder)
    wishes = lifecycle.Wishes(
        folder=folder,
        port_base=port_base,
        seed=seed,
        users=users,
        gateway=gateway.value,
        proxy=proxy.value,
        gateway_faults=tuple(dict.fromkeys(fault.value for fault in gateway_fault or ())),
    )
    document, started = lifecycle.up(wishes, say=_progress(context))
    if json_output:
        _print_json(document)
        return
    if not started:
        typer.echo("It runs already.")
    typer.echo(_summary(document))
    typer.echo("")
    typer.echo("Next:")
    typer.echo("  export TRACSEQ_MIGRATE_IDENTITY=your-name")
    typer.echo(f"  tracseq-migrate -c {shlex.quote(document['config'])} run week1 --yes")
    typer.echo(f"  tracseq-migrate sandbox down{_option(folder)}")


@app.command()
def down(
    context: typer.Context,
    folder: Folder = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Only stop; a later `up` goes on with the same data.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Stop a sandbox and remove what `up` made. Files that it did not make stay."""
    _need_extra()
    from tracseq_migrate.sandbox import lifecycle

    folder = _chosen(folder)
    taken = lifecycle.down(folder, keep=keep, say=_progress(context))
    if json_output:
        _print_json(
            {
                "type": "sandbox-down",
                "format": "1.0",
                "dir": str(folder.resolve()),
                "found": taken is not None,
                "kept": keep,
                "stays": [str(path) for path in taken.stays] if taken else [],
                "aside": [str(path) for path in taken.aside] if taken else [],
            }
        )
    elif taken is None:
        typer.echo(f"There is no sandbox in {folder}; nothing to do.")
    elif keep:
        typer.echo(
            f"Stopped, and kept. `tracseq-migrate sandbox up{_option(folder)}` goes on with the same data."
        )
    else:
        typer.echo("Stopped and removed.")
        for path in taken.aside:
            typer.echo(f"{path.name} was changed since `up` wrote it; it is kept as {path}.")
        if taken.stays:
            typer.echo(f"Still in {folder}: {', '.join(path.name for path in taken.stays)}.")


@app.command()
def status(folder: Folder = None, json_output: Json = False) -> None:
    """Say where a sandbox is and what of it runs."""
    _need_extra()
    from tracseq_migrate.sandbox import lifecycle

    document = lifecycle.status(_chosen(folder))
    if json_output:
        _print_json(document)
        return
    typer.echo(_summary(document))
    typer.echo("")
    for name, state in document["states"].items():
        pid = document["pids"].get(name)
        url = {**document["services"], "monolith": document["monolith"]["url"]}.get(name, "")
        typer.echo(f"  {name:<14} {state:<9} {f'pid {pid}' if pid else '':<11} {url}".rstrip())


@app.command()
def fault(
    name: Annotated[
        Fault, typer.Argument(metavar="NAME", parser=_one_of(Fault, "fault"), help=", ".join(Fault))
    ],
    switch: Annotated[Switch, typer.Argument(metavar="on|off", parser=_one_of(Switch, "position"))],
    folder: Folder = None,
    service: Annotated[
        str | None, typer.Option("--service", metavar="S", help="For service-…; default: every service.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="D", help="For database-down; default: the whole server."),
    ] = None,
    delay: Annotated[
        float, typer.Option("--delay", metavar="SECONDS", min=0.0, help="For service-slow.")
    ] = 2.0,
    json_output: Json = False,
) -> None:
    """Switch a fault on, or off again."""
    _need_extra()
    from tracseq_migrate.sandbox import lifecycle

    folder = _chosen(folder)
    on = lifecycle.fault(
        folder, name.value, on=switch is Switch.ON, service=service, database=database, seconds=delay
    )
    if json_output:
        _print_json({"type": "sandbox-faults", "format": "1.0", "dir": str(folder.resolve()), "faults": on})
    else:
        typer.echo(f"Faults on: {', '.join(on) or 'none'}")


@app.command()
def load(
    context: typer.Context,
    rate: Annotated[float, typer.Option("--rate", metavar="R", min=0.1, help="Requests a second.")] = 100.0,
    duration: Annotated[str, typer.Option("--for", metavar="T", help="How long: 30s, 5m, 1h.")] = "30s",
    mix: Annotated[
        str | None, typer.Option("--mix", metavar="MIX", help="Weights, such as reads=3,users=1,samples=1.")
    ] = None,
    clients: Annotated[
        int | None,
        typer.Option("--clients", metavar="N", min=1, help="Clients, one kept-alive connection each."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed asks the same things.")] = 1,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", metavar="FILE", help="Write each acknowledged write there.")
    ] = None,
    folder: Folder = None,
    json_output: Json = False,
) -> None:
    """Send requests through the gateway, and look up every acknowledged write at the end.

    Exit 11 if a write was lost, is wrong or is there twice.
    """
    _need_extra()
    from tracseq_migrate.duration import parse
    from tracseq_migrate.sandbox import lifecycle
    from tracseq_migrate.sandbox.load.command import CLIENTS, run_load

    try:
        seconds = parse(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from error
    code = run_load(
        lifecycle.status(_chosen(folder)),
        rate=rate,
        seconds=seconds,
        mix=mix,
        seed=seed,
        clients=CLIENTS if clients is None else clients,
        ledger=ledger,
        json_output=json_output,
        write=typer.echo,
        progress=_progress(context),
    )
    raise typer.Exit(code)
