"""Which template the log is rendered by: the operator's own where there is one, else the one that comes with the tool."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports import Files

NAME = "migration-log.md.j2"


@frozen
class Template:
    """``name`` is what errors call it: its path. ``ours``: it came with the tool, so it is rendered without further ado."""

    name: str
    text: str
    ours: bool = False


def find_template(files: Files, folders: Sequence[Path]) -> Template:
    """The first ``migration-log.md.j2`` in ``folders``, in their order; else the packaged one.

    Raises:
        InvalidInput: a template is there but cannot be read, or is not UTF-8.
    """
    for folder in folders:
        path = folder / NAME
        if files.exists(path):
            return read_template(files, path)
    return packaged_template()


def read_template(files: Files, path: Path) -> Template:
    """Raises as `find_template`."""
    try:
        return Template(str(path), files.read(path).decode())
    except UnicodeDecodeError as error:
        finding = Finding(str(path), 1, 1, f"byte {error.start} is not UTF-8", "save the template as UTF-8")
    except OSError as error:
        finding = Finding(str(path), 1, 1, f"the template cannot be read: {error.strerror or error}")
    raise InvalidInput([finding])


def packaged_template() -> Template:
    """The one that comes with the tool: inside the wheel, or at the top of a source checkout."""
    package = resources.files("tracseq_migrate")
    inside = package / "packaged" / NAME
    if inside.is_file():
        return Template(NAME, inside.read_text(encoding="utf-8"), ours=True)
    with resources.as_file(package) as folder:
        return Template(NAME, (folder.parents[1] / NAME).read_text(encoding="utf-8"), ours=True)
