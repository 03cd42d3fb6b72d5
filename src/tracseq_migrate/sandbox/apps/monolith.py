"""The monolith: everything under ``/api``, in one process and one database."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from aiohttp import web

from tracseq_migrate.sandbox.apps import accounts, laboratory, records, storage
from tracseq_migrate.sandbox.apps.connections import Connections
from tracseq_migrate.sandbox.apps.overview import Overview
from tracseq_migrate.sandbox.apps.server import Application, Settings, arguments, run, settings_of
from tracseq_migrate.sandbox.apps.style import MONOLITH, Style


def routes(connections: Connections, style: Style) -> Sequence[web.AbstractRouteDef]:
    users = accounts.monolith_users()
    signing_in = accounts.SigningIn(users, connections, style)
    overview = Overview(connections, style)
    resources = [
        users,
        # The same users under a path that no flag routes away: what is written here stays here.
        accounts.monolith_users("users"),
        laboratory.monolith_samples(),
        laboratory.monolith_templates(),
        laboratory.monolith_jobs(),
        storage.monolith_locations(),
        storage.monolith_movements(),
        records.monolith_notifications(),
        records.monolith_spreadsheets(),
    ]
    return [
        *signing_in.endpoints("/api"),
        *signing_in.endpoints(""),  # old clients sign in without /api
        *overview.dashboard("/api"),
        *overview.reports("/api"),
        *overview.rag("/api"),
        *(route for resource in resources for route in resource.endpoints(connections, style, "/api")),
    ]


def application(settings: Settings) -> Application:
    return Application("monolith", MONOLITH, routes, settings)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tracseq-monolith", description="The monolith of the embedded TracSeq."
    )
    arguments(parser)
    return run(application(settings_of(parser.parse_args(argv))))


if __name__ == "__main__":
    sys.exit(main())
