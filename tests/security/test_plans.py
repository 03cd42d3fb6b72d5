"""What a plan may name and run: nothing outside of the project, and no shell that it does not ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plan.surroundings import Lab
from tests.security.project import cage
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.plan import PlanShelf, Project

PLAN = """\
week: week9
title: Programs
risk: low
steps:
  - id: a
    command:
      run: [{run}]
      verify: [./verify]
      irreversible: it is a test
      {more}
"""


def findings(tmp_path: Path, run: str = "./run", more: str = "", outside: tuple[Path, ...] = ()) -> list[str]:
    project = tmp_path / "project"
    (project / "weeks").mkdir(parents=True, exist_ok=True)
    (project / "weeks" / "week9.yaml").write_text(PLAN.format(run=run, more=more))
    shelf = PlanShelf(LocalFiles(), (project / "weeks",), Lab(), Project(project, outside))
    return [f"{f.line}:{f.column}: {f.message}" for f in shelf.inspect("week9")]


@pytest.mark.parametrize("run", ["./run", "bin/run", "run", "./../project/run", "bin/../run"])
def test_what_lies_inside(tmp_path: Path, run: str) -> None:
    assert findings(tmp_path, run) == []


@pytest.mark.parametrize(
    ("run", "more", "said"),
    [
        ("/bin/rm", "", "7:13: '/bin/rm' is outside of the project's folder"),
        ("../run", "", "7:13: '../run' is outside of the project's folder (it is "),
        ("bin/../../run", "", "7:13: 'bin/../../run' is outside"),
        ("out/run", "", "7:13: 'out/run' is outside of the project's folder (it is "),
        ("link", "cwd: out", "10:12: 'out' is outside"),
        ("./run", "cwd: ..", "10:12: '..' is outside"),
        ("./run", "cwd: /", "10:12: '/' is outside"),
        ("./../../run", "cwd: bin", "7:13: './../../run' is outside"),
        ('"./a\\0b"', "", "7:13: './a\\x00b' is no path: it has a NUL in it"),
        ("./run", 'cwd: "a\\0b"', "10:12: 'a\\x00b' is no path: it has a NUL in it"),
    ],
)
def test_what_leads_out(tmp_path: Path, run: str, more: str, said: str) -> None:
    (tmp_path / "project" / "bin").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project" / "out").symlink_to(tmp_path / "elsewhere")
    assert any(found.startswith(said) for found in findings(tmp_path, run, more)), findings(
        tmp_path, run, more
    )


def test_what_the_environment_file_allows(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "sub").symlink_to("/")
    tools = (tmp_path / "tools",)
    assert findings(tmp_path, f"{tmp_path}/tools/run", outside=tools) == []
    assert findings(tmp_path, "../tools/run", outside=tools) == []
    assert findings(tmp_path, "../tools/sub/run", outside=tools)
    assert findings(tmp_path, "../toolsmith/run", outside=tools)


def test_it_is_refused_before_anything_runs_and_again_when_it_runs(tmp_path: Path) -> None:
    with cage(tmp_path) as caged:
        caged.plan(
            "steps:\n  - {id: a, command: {run: [/bin/touch, done], verify: [/bin/ls, done], irreversible: it is so}}\n"
        )
        code, said = caged.call("run", "leak")
        assert code == 3, said
        assert said.count("leak.yaml:5:") == 2
        assert "listed there under `outside`" in said
        config = tmp_path / "tracseq-migrate.yaml"
        config.write_text(config.read_text().replace("state: .state", "state: .state\n    outside: [/bin]"))
        code, said = caged.call("run", "leak")
        # A link (/bin to /usr/bin, say) counts as what it points at, on both sides.
        assert code == 0, said
        assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    "word",
    [
        "; touch out", "$(touch out)", "`touch out`", "| touch out", "&& touch out", "\n touch out",
        "${HOME}", "{{ 7 * 7 }}", "%(a)s", "*", "~",
    ],
)  # fmt: skip
def test_no_shell_reads_a_word(tmp_path: Path, word: str) -> None:
    result = SubprocessCommands(tmp_path).run(["printf", "%s", word], timeout=30)
    assert (result.stdout, list(tmp_path.iterdir())) == (word, [])


def test_a_word_with_a_dash_is_no_option_of_the_shell(tmp_path: Path) -> None:
    result = SubprocessCommands(tmp_path).run(["echo $0 $1", "-c", "touch out"], shell=True, timeout=30)
    assert (result.stdout, list(tmp_path.iterdir())) == ("sh -c\n", [])


def test_a_shell_is_shown_to_the_letter(tmp_path: Path) -> None:
    with cage(tmp_path) as caged:
        caged.plan(
            "steps:\n"
            "  - {id: a, command: {shell: true, run: ['echo \"$HOME\" > a; ls | wc'], verify: [test -e a], revert: ['rm a']}}\n"
            "  - {id: b, command: {run: [echo, a; ls, $HOME], verify: [test, -e, b], irreversible: it is said}}\n"
        )
        code, said = caged.call("plan", "leak", "--offline")
        assert code == 0, said
        said = " ".join(said.split())
        assert "gives what follows to a shell, /bin/sh, as it stands (`shell: true`)" in said
        assert """runs `/bin/sh -c 'echo "$HOME" > a; ls | wc'`""" in said
        assert "goes back by `/bin/sh -c 'rm a'`" in said
        assert "runs `echo 'a; ls' '$HOME'`" in said
        assert said.count("to a shell") == 1


def test_a_shell_is_given_one_text(tmp_path: Path) -> None:
    found = findings(tmp_path, "ls, -l", "shell: true")
    assert found == [
        "6:5: with `shell: true`, `run` is a list of one text, which the shell reads as it is; here it has 2"
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('env: {A: "x\\0y"}', "a NUL stands in it"),
        ('env: {"A=B": c}', "`env` has a name that no variable can have"),
    ],
)
def test_what_no_program_can_be_given(tmp_path: Path, more: str, said: str) -> None:
    assert any(said in found for found in findings(tmp_path, "./run", more))


def test_a_secret_in_a_plan_has_its_place_and_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "weeks"
    folder.mkdir()
    (folder / "week9.yaml").write_text(PLAN.format(run="./run, --key, Zq7-secret-key", more=""))
    secrets = frozenset({"Zq7-secret-key", "irreversible", "test", "postgresql://a:Zq7-secret-key@b/c"})
    shelf = PlanShelf(LocalFiles(), (folder,), Lab(), Project(tmp_path, secrets=secrets))
    with pytest.raises(InvalidInput) as caught:
        shelf.find("week9")
    (finding,) = caught.value.findings
    assert (finding.line, finding.column) == (7, 27)
    assert "Zq7" not in str(finding)
