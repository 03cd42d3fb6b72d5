"""``python -m tracseq_migrate.sandbox.gateway``: read the flags once, listen, route until told to stop.

Exit codes are the real gateway's: 1 for flags that it cannot read, 3 for a port that is taken, 0 after
SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from tracseq_migrate.sandbox.gateway.flags import FLAGS
from tracseq_migrate.sandbox.gateway.settings import read_flags, refuse_unknown_settings

FAULTS = ("strict-env", "stuck-flag", "slow-start", "unknown-flag", "one-map")
UNKNOWN_TO_IT = frozenset({"storage", "rag"})
ONLY_A_FEATURE = frozenset({"storage", "templates"})
SLOW_START = 6.0


def _pair(text: str) -> tuple[str, str]:
    key, equals, url = text.partition("=")
    if not equals or key not in {flag.key for flag in FLAGS}:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=URL with a key of the gateway")
    return key, url


def _fault(text: str) -> tuple[str, float]:
    name, _, seconds = text.partition("=")
    if name not in FAULTS or (seconds and name != "slow-start"):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(FAULTS)}")
    return name, float(seconds) if seconds else SLOW_START


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"file {text!r} does not exist")
    return path


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tracseq_migrate.sandbox.gateway", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--monolith", metavar="URL", required=True)
    parser.add_argument("--service", metavar="KEY=URL", type=_pair, action="append", default=[])
    parser.add_argument("--env-file", metavar="FILE", type=_existing)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=30.0, help="until an upstream counts as slow"
    )
    parser.add_argument(
        "--fault", metavar="NAME", type=_fault, action="append", default=[], help=", ".join(FAULTS)
    )
    parser.add_argument(
        "--remember", metavar="FILE", type=Path, help="where stuck-flag keeps the first start's flags"
    )
    arguments = parser.parse_args(argv)
    if "stuck-flag" in dict(arguments.fault) and arguments.remember is None:
        parser.error("--fault stuck-flag needs --remember")
    return arguments


def _flags(arguments: argparse.Namespace, faults: dict[str, float]) -> dict[str, bool]:
    known = [flag for flag in FLAGS if "unknown-flag" not in faults or flag.key not in UNKNOWN_TO_IT]
    if "strict-env" in faults:
        refuse_unknown_settings(Path.cwd())
    values = read_flags(os.environ, env_file=arguments.env_file, folder=Path.cwd(), flags=known)
    if "stuck-flag" in faults:
        kept: Path = arguments.remember
        if kept.exists():
            values = {**values, **json.loads(kept.read_text("utf-8"))}
        else:
            kept.write_text(json.dumps(values), "utf-8")
    return values


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    faults: dict[str, float] = dict(arguments.fault)
    try:
        values = _flags(arguments, faults)
    except ValidationError as error:
        sys.stderr.write(f"pydantic_core._pydantic_core.ValidationError: {error}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    if "slow-start" in faults:
        time.sleep(faults["slow-start"])

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Bound before the slow imports, listening only after them: a taken port is told at once, and
            # until the gateway can answer its connections are refused rather than left waiting.
            listener.bind(("127.0.0.1", arguments.port))
        except OSError as error:
            sys.stderr.write(
                f"[Errno {error.errno}] error while attempting to bind on address "
                f"('127.0.0.1', {arguments.port}): {error.strerror}\n"
            )
            return 3
        return _serve(listener, arguments, faults, values)


def _serve(
    listener: socket.socket, arguments: argparse.Namespace, faults: dict[str, float], values: dict[str, bool]
) -> int:
    import asyncio

    from tracseq_migrate.sandbox.gateway.server import GatewayServer, Route

    urls: dict[str, str] = dict(arguments.service)
    one_map = ONLY_A_FEATURE if "one-map" in faults else frozenset()
    routes = [
        Route(
            key=flag.key,
            prefix=flag.prefix,
            url=urls.get(flag.key, flag.target),
            feature=values[flag.key] or flag.key in one_map,
            listed=flag.key not in one_map,
        )
        for flag in FLAGS
        if flag.key in values
    ]
    on = ", ".join(route.key for route in routes if route.on) or "none"
    sys.stderr.write(f"gateway on 127.0.0.1:{arguments.port}, routed to services: {on}\n")
    server = GatewayServer(routes, monolith=arguments.monolith, timeout=arguments.timeout)
    asyncio.run(server.serve(listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
