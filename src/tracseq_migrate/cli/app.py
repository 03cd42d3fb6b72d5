"""The root command and the one exit door: known errors print a message and carry their code; a bug of ours says so."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tracseq_migrate.cli.arguments import globals_first
from tracseq_migrate.cli.session import Session, variable

_EPILOG = (
    "Global options may stand anywhere. Variables: TRACSEQ_MIGRATE_CONFIG, TRACSEQ_MIGRATE_ENVIRONMENT. "
    "Exit codes: docs/runbook.md."
)

# Typer's parser is click, under that name or as a part of Typer, depending on Typer's version.
_parser: Any = sys.modules[typer.BadParameter.__module__]

_COMMANDS = (
    "run",
    "plan",
    "rollback",
    "resume",
    "status",
    "verify",
    "approve",
    "validate",
    "log",
    "lock",
    "sandbox",
    "state",
    "sync",
    "compare",
    "mapping",
    "backup",
    "complete",
    "rehearse",
)
"""Each is the module of this name: with ``register``, a command; with an ``app`` of its own, a group of them."""


class _Commands(TyperGroup):
    """The commands by name; only the one that is typed is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _made(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in _COMMANDS:
            for name in _COMMANDS:  # what is near to what was typed is looked for among those that are there
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


def _made(name: str) -> Any:
    from importlib import import_module

    module = import_module(f"tracseq_migrate.cli.{name}")
    around = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    if hasattr(module, "register"):
        module.register(around)
    else:
        around.add_typer(module.app, name=name)
    return typer.main.get_group(around).commands[name]


app = typer.Typer(
    name="tracseq-migrate",
    cls=_Commands,
    help="Moves a monolith to microservices behind a flag-routed gateway, week by week: with proof, and a way back.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from tracseq_migrate import __version__

        typer.echo(f"tracseq-migrate {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "-c", "--config", metavar="FILE", help="The environment file; else the nearest one upwards."
        ),
    ] = None,
    environment: Annotated[
        str | None, typer.Option("-e", "--environment", metavar="NAME", help="The environment in it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON only on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only results and errors.")] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="More; -vv: traces.")] = 0,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else."),
    ] = False,
) -> None:
    """Settle the global options: flag > variable."""
    session: Session = context.obj
    from_variable = variable("CONFIG")
    session.config = config or (Path(from_variable) if from_variable else None)
    session.environment = environment or variable("ENVIRONMENT")
    session.json, session.quiet, session.verbose, session.no_color = json, quiet, verbose, no_color


def start(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    from tracseq_migrate.errors import Exit, TracseqMigrateError, UsageError

    session = Session(argv=tuple(argv))
    try:
        outcome = app(args=globals_first(argv), standalone_mode=False, obj=session)
        code = outcome if isinstance(outcome, int) else 0
    except _parser.NoArgsIsHelpError as error:
        typer.echo(error.format_message())
        return Exit.USAGE
    except _parser.UsageError as error:
        command = error.ctx.command_path if error.ctx else "tracseq-migrate"
        message = UsageError(error.format_message(), hint=f"`{command} --help` shows how.")
        session.json = session.json or "--json" in argv
        code = session.screen.error(message)
    except _parser.ClickException as error:
        code = session.screen.error(UsageError(error.format_message()))
    except (typer.Abort, KeyboardInterrupt):
        code = Exit.SIGINT
    except typer.Exit as error:
        code = error.exit_code
    except TracseqMigrateError as error:
        code = session.screen.error(error)
        if session.verbose > 1:
            _trace(session)
    except BrokenPipeError:
        # The reader has gone; what was to be written matters to nobody any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.ERROR
    except Exception as error:  # noqa: BLE001 - the last door: a bug of ours ends as a message and a code, too
        code = _bug(session, error)
    lost = session._screen is not None and session.screen.close() is not None
    if lost and code == 0 and not session.operated:
        code = Exit.ERROR
    return int(code)


_SHORTAGES = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EAGAIN}
)


def _shortage(error: BaseException | None) -> str:
    """What the system refused, where an error that nobody expected comes of that; empty where it is a bug."""
    while error is not None:
        if isinstance(error, MemoryError):
            return "memory"
        if isinstance(error, OSError) and error.errno in _SHORTAGES:
            return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)
        error = error.__cause__ or error.__context__
    return ""


def _bug(session: Session, error: Exception) -> int:
    from tracseq_migrate.errors import InProgress, TracseqMigrateError

    kind = InProgress if session.changing else TracseqMigrateError
    short_of = _shortage(error)
    if short_of:
        text = f"the system does not give this process what it needs: {short_of}"
        hint = (
            "`ulimit -a`, `free` and `df` show what there is. Give it more, then type the same command again."
        )
        if session.changing:
            hint = "`ulimit -a`, `free` and `df` show what there is. Give it more, then `tracseq-migrate resume`."
        return session.screen.error(kind(text, hint=hint))
    text = f"a bug of ours: {type(error).__name__}: {error}"
    hint = "Please report it with the trace that -vv prints."
    code = session.screen.error(kind(text, hint=hint))
    _trace(session)
    return code


def _trace(session: Session) -> None:
    import traceback

    session.screen.trace(traceback.format_exc())
