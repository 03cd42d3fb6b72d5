"""No secret leaves the places it is read from: in success, and in every kind of failure, of everything that was written."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_parts import wait_until
from tests.security.canaries import CANARIES, assert_clean, found_in, watching_processes
from tests.security.project import Cage, cage, step

PRINT = "env; cat secrets/*; base64 secrets/storage.dsn; od -An -tx1 secrets/key.dsn | tr -d ' \\n'; env >&2; cat secrets/* >&2"
"""What a careless program says."""


@pytest.fixture
def caged(tmp_path: Path) -> Iterator[Cage]:
    with cage(tmp_path) as made:
        yield made


def test_a_run_there_and_back(caged: Cage) -> None:
    caged.plan(
        f"steps:\n{step('talk', PRINT + '; touch done', verify='test -e done && ' + PRINT, revert='rm done')}"
    )
    for argv in (
        ["validate"],
        ["plan", "leak"],
        ["plan", "leak", "--offline", "--json"],
        ["run", "leak", "--json", "-v"],
        ["status"],
        ["status", "--json"],
        ["verify", "leak", "-v"],
        ["log"],
        ["log", "verify"],
        ["lock", "show"],
        ["rollback", "leak", "--print-manual"],
        ["rollback", "leak", "-vv"],
        ["log", "render"],
    ):
        caged.call(*argv)
    assert "canary" not in "".join(caged.said).lower()
    assert (caged.folder / "MIGRATION_LOG.md").is_file()
    assert (caged.folder / ".state" / "cage" / "journal.sqlite3").is_file()
    assert caged.assert_clean() > 40


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        (
            "preflight:\n  - http: {target: gateway, path: /echo, expect: {status: 401, json: {detail: no, all: no}}}\n"
            "steps:\n" + step("a", "true"),
            4,
        ),
        (
            "steps:\n  - {id: ask, http: {target: storage, path: /echo, expect: {status: 401, json: {detail: no, all: no}}}}\n",
            5,
        ),
        (
            "steps:\n  - {id: rag, http: {target: rag, path: /echo, expect: {status: 401, json: {path: no}}}}\n",
            5,
        ),
        ("steps:\n" + step("fail", PRINT + "; exit 3"), 5),
        ("steps:\n" + step("blind", "touch done", verify=f"{PRINT}; exit 4", revert="rm done"), 5),
        (
            "steps:\n"
            + step(
                "stuck", "touch done; " + PRINT + "; exit 3", verify="test -e done", revert=PRINT + "; exit 5"
            ),
            6,
        ),
        ("steps:\n  - {id: flags, flags: {set: {USE_STORAGE_SERVICE: true}, writes: stranded}}\n", 4),
    ],
    ids=["preflight", "step-http", "step-url", "step-command", "verify", "rollback", "database"],
)
@pytest.mark.parametrize("options", [["-vv"], ["--json"]], ids=["people", "scripts"])
def test_failures(caged: Cage, steps: str, code: int, options: list[str]) -> None:
    caged.plan(steps)
    ended, said = caged.call("run", "leak", *options)
    assert ended == code, said
    for argv in (
        ["status"],
        ["resume", "leak", *options],
        ["rollback", "leak", *options],
        ["verify"],
        ["log"],
    ):
        caged.call(*argv)
    # It was there to be taken out; a database's own words are not repeated at all.
    assert "***" in "".join(caged.said) or "password" in said, said
    caged.assert_clean()


def test_a_crash_in_the_middle(caged: Cage) -> None:
    caged.plan(
        f"steps:\n{step('slow', PRINT + '; touch begun; sleep 30', verify='test -e done', revert='rm -f begun')}"
    )
    process = caged.start("run", "leak", "--json")
    wait_until((caged.folder / "begun").exists, "the program to begin")
    # The write-ahead log and its shared memory lie there while it runs, and stay after a kill.
    assert_clean(caged.folder / ".state")
    process.send_signal(signal.SIGKILL)
    caged.end(process)
    assert (caged.folder / ".state" / "cage" / "journal.sqlite3-wal").is_file()
    caged.assert_clean()
    for argv in (["status"], ["resume", "leak"], ["rollback", "leak"]):
        caged.call(*argv)
    caged.assert_clean()


def test_an_interruption(caged: Cage) -> None:
    caged.plan(
        f"steps:\n{step('slow', PRINT + '; touch begun; sleep 30', verify='test -e done', revert='rm -f begun')}"
    )
    process = caged.start("run", "leak")
    wait_until((caged.folder / "begun").exists, "the program to begin")
    process.send_signal(signal.SIGTERM)
    caged.end(process)
    caged.call("rollback", "leak")
    caged.assert_clean()


@pytest.mark.parametrize(
    ("name", "where"),
    [
        (
            "variable",
            "checklist:\n  - {{id: backup, ask: {secret}}}\nsteps:\n  - {{id: a, http: {{target: gateway, path: /health}}}}\n",
        ),
        ("dsn", "steps:\n  - {{id: a, title: {secret}, http: {{target: gateway, path: /health}}}}\n"),
        ("words", "steps:\n  - {{id: a, command: {{run: [x, {secret}], verify: [y], irreversible: z}}}}\n"),
        (
            "token",
            "steps:\n  - {{id: a, command: {{run: [x], verify: [y], irreversible: z, env: {{TOKEN: {secret}}}}}}}\n",
        ),
        ("longer", "steps:\n  - {{id: a, timeout: {secret}, http: {{target: gateway, path: /health}}}}\n"),
        ("regex", "steps:\n  - {{id: a, http: {{target: {secret}, path: /health}}}}\n"),
    ],
    ids=["ask", "title", "argument", "env", "timeout", "target"],
)
def test_a_plan_with_a_secret_by_mistake_is_refused_without_showing_it(
    caged: Cage, name: str, where: str
) -> None:
    caged.plan(where.format(secret=json.dumps(CANARIES[name])))
    calls = [["validate"]] if where.count("http") else [["validate"], ["run", "leak", "-vv"]]
    for argv in calls:
        code, said = caged.call(*argv)
        assert code == 3, said
        assert "a secret of the environment stands here in plain text" in said
        assert "leak.yaml:" in said
    assert_clean(caged.folder / ".state", caged.said)
    assert not found_in("".join(caged.said).encode())


def test_what_a_person_types_is_shown_and_kept_without_its_secrets(caged: Cage) -> None:
    caged.plan(
        "checklist:\n  - {id: backup, ask: Is there one, evidence: required}\n"
        "steps:\n  - {id: health, http: {target: gateway, path: /health}}\n"
    )
    caged.call("approve", "leak", "backup", "--evidence", f"the password is {CANARIES['dsn']}")
    code, said = caged.call("run", "leak", "--confirm", f"backup=it is {CANARIES['words']}", "-vv")
    assert code == 0, said
    caged.call("log", "render")
    caged.assert_clean()


def test_a_file_of_the_environment_that_is_wrong_does_not_show_what_it_says(caged: Cage) -> None:
    for variable, value in (
        ("GATEWAY", f"ftp://user:{CANARIES['variable']}@127.0.0.1/"),
        ("GATEWAY", CANARIES["token"]),
        ("MAIN_DSN", CANARIES["dsn"]),
        ("MAIN_DSN", f"postgresql://m:{CANARIES['url']}@127.0.0.1:1/main"),
        ("CANARY_TOKEN", CANARIES["variable"] + " with a blank"),
    ):
        kept = caged.variables[variable]
        caged.variables[variable] = value
        for argv in (["validate"], ["status", "-vv"], ["status", "--json"]):
            code, said = caged.call(*argv)
            if variable != "MAIN_DSN" or value == CANARIES["dsn"]:
                assert code == 3, said
        caged.variables[variable] = kept
    # A variable that nobody calls a secret is none: what stands in the address of the gateway by mistake is quoted.
    left_out = CANARIES["token"]
    secrets = [secret for secret in CANARIES.values() if secret != left_out]
    assert_clean(caged.folder, caged.said, secrets=secrets, except_=caged.sources)


def test_a_secret_in_an_argument_list_is_refused(caged: Cage) -> None:
    config = caged.folder / "tracseq-migrate.yaml"
    before = config.read_text()
    for written in ("${CANARY_TOKEN}", "file:secrets/storage.dsn"):
        config.write_text(before.replace('command: ["true"]', f'command: [reload, "{written}"]'))
        code, said = caged.call("validate")
        assert code == 3
        assert "a secret would stand in an argument list" in said
        assert "tracseq-migrate.yaml:" in said
    caged.assert_clean()


def test_processes_hold_no_secret_in_their_arguments_and_environments(caged: Cage) -> None:
    say = "env > seen.env; git config user.name; sleep 0.3"
    caged.plan(f"steps:\n{step('slow', say + '; touch done', verify='test -e done', revert='rm done')}")
    with watching_processes("CAGE=") as watched:
        code, said = caged.call("run", "leak")
        assert code == 0, said
        caged.call("rollback", "leak")
    assert watched.samples
    assert any(b"sleep 0.3" in arguments for arguments in watched.arguments)
    assert not [arguments for arguments in watched.arguments if found_in(arguments)]
    programs = {
        arguments: environment
        for arguments, environment in watched.environments.items()
        if b"tracseq_migrate" not in arguments
    }
    assert any(b"sleep 0.3" in arguments for arguments in programs)
    for arguments, environment in programs.items():
        assert not found_in(environment), arguments
    seen = (caged.folder / "seen.env").read_text()
    assert "CAGE=" in seen
    assert "PGPASSWORD" not in seen


def test_a_variable_that_is_handed_down_arrives(caged: Cage) -> None:
    config = caged.folder / "tracseq-migrate.yaml"
    config.write_text(
        config.read_text().replace("state: .state", "state: .state\n    hand_down: [CANARY_TOKEN]")
    )
    digest = hashlib.sha256(CANARIES["variable"].encode()).hexdigest()
    there = f"printf %s $CANARY_TOKEN | sha256sum | grep {digest}"
    caged.plan(
        "steps:\n"
        + step(
            "use",
            f"{there} && test -z $PGPASSWORD && env && touch done",
            verify="test -e done",
            revert="rm done",
        )
    )
    code, said = caged.call("run", "leak", "-v")
    assert code == 0, said
    assert_clean(caged.folder / ".state", [said])


def test_a_proxy_that_repeats_secrets(tmp_path: Path) -> None:
    proxy = 'proxy: {{caddy: {{admin: "http://127.0.0.1:{port}/admin", server: gateway}}}}'
    with cage(tmp_path, reload="{strategy: proxy}", proxy=proxy.format(port=1)) as made:
        config = made.folder / "tracseq-migrate.yaml"
        instances = f'instances: [{{name: gateway-1, url: "${{GATEWAY}}"}}, {{name: gateway-2, url: "http://127.0.0.1:{made.server.port}/two"}}]'
        text = config.read_text().replace("http://127.0.0.1:1/admin", f"{made.server.url}/admin")
        text = text.replace("url: ${GATEWAY}\n", f"url: {made.server.url}\n")
        text = text.replace('instances: [{name: gateway-1, url: "${GATEWAY}"}]', instances)
        for name in ("gateway-1", "gateway-2"):
            text = text.replace(
                f"name: {name},", f"name: {name}, start: {{command: {{up: [a], down: [b]}}}},"
            )
        config.write_text(text)
        made.plan("steps:\n  - {id: flags, flags: {set: {USE_RAG_SERVICE: true}, writes: none}}\n")
        for argv in (
            ["validate"],
            ["plan", "leak"],
            ["run", "leak", "-vv"],
            ["status"],
            ["status", "--json"],
        ):
            made.call(*argv)
        assert "caddy" in "".join(made.said)
        made.assert_clean()


def test_a_trace_of_a_bug_holds_no_secret(caged: Cage) -> None:
    caged.plan("steps:\n  - {id: health, http: {target: gateway, path: /health}}\n")
    # A bug cannot be typed: Python itself is told to break a part of the tool, by a module that it imports when it starts.
    (caged.folder / "broken").mkdir()
    (caged.folder / "broken" / "sitecustomize.py").write_text(
        "import tracseq_migrate.operations.status as status\n"
        "def broken(*args, **kwargs):\n"
        "    try:\n"
        "        raise ValueError(open('secrets/storage.dsn').read())\n"
        "    except ValueError as error:\n"
        "        raise KeyError(open('secrets/key.dsn').read()) from error\n"
        "status.status = broken\n"
    )
    caged.variables["PYTHONPATH"] = os.pathsep.join(
        [str(caged.folder / "broken"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    code, said = caged.call("status", "-vv")
    assert code == 1, said
    assert "Traceback" in said
    assert "a bug of ours" in said
    assert "***" in said
    caged.assert_clean()


def test_short_and_common_secrets_spoil_no_more_than_themselves(caged: Cage) -> None:
    caged.plan(f"steps:\n{step('say', 'echo storage x9 x90 plan; exit 1')}")
    config = caged.folder / "tracseq-migrate.yaml"
    config.write_text(config.read_text().replace("${CANARY_TOKEN}", "${SHORT_TOKEN}${WORD_PASSWORD}"))
    caged.variables |= {"SHORT_TOKEN": "x9", "WORD_PASSWORD": "storage"}
    code, said = caged.call("run", "leak")
    assert code == 5, said
    assert "*** *** x90 plan" in said
    assert (caged.folder / "flags.env").read_text().count("USE_STORAGE_SERVICE=false") == 1
    assert '"week": "leak"' in caged.call("status", "--json")[1]


def test_the_look_finds_what_it_looks_for(tmp_path: Path) -> None:
    for number, body in enumerate(
        [CANARIES["url"].encode(), CANARIES["dsn"][:12].encode(), CANARIES["regex"].encode().hex().encode()]
    ):
        (tmp_path / "kept").write_bytes(b"x" * number + body)
        with pytest.raises(AssertionError, match="kept holds"):
            assert_clean(tmp_path)
    (tmp_path / "kept").write_bytes(b"nothing")
    assert assert_clean(tmp_path, ["quiet"]) == 3
