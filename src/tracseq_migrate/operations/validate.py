"""``validate``: every finding of the environment file and of the plans, at once. Changes nothing, asks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tracseq_migrate.config import inspect, locate
from tracseq_migrate.errors import Finding
from tracseq_migrate.operations.views import FindingLine, ValidateView
from tracseq_migrate.plan import PlanShelf, Project, folders
from tracseq_migrate.ports import Files
from tracseq_migrate.redact import Redactor


def validate(
    files: Files,
    environ: Mapping[str, str],
    *,
    config: Path | None,
    cwd: Path,
    environment: str | None,
    week: str | None,
    offline: bool,
) -> tuple[ValidateView, Sequence[Finding]]:
    """What was looked at, and every finding.

    Raises:
        InvalidSetup: there is no environment file.
        UsageError: there is no such environment, or no such week.
    """
    path = locate(config, cwd, files)
    looked = inspect(path, files, environ, environment=environment, offline=offline)
    shelf = PlanShelf(
        files,
        folders(files, plans=looked.plans, beside=path.absolute().parent, cwd=cwd),
        looked.facts,
        Project(path.absolute().parent, looked.outside, looked.secrets),
    )
    redact = Redactor(looked.secrets).text
    found = {*looked.findings, *shelf.inspect(week or "")}
    # A plan that holds a secret by mistake is quoted like any other.
    findings = sorted(replace(f, message=redact(f.message)) for f in found)
    names = [str(path), *shelf.names()] if week is None else [str(path), week]
    lines = [FindingLine(f.file, f.line, f.column, f.message, f.remedy) for f in findings]
    return ValidateView(names, lines), findings
