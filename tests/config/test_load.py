"""Finding, choosing, filling in and refusing environment files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tracseq_migrate import config
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.memory.surroundings import MemoryFiles
from tracseq_migrate.config import Environment
from tracseq_migrate.errors import InvalidInput, InvalidSetup, UsageError
from tracseq_migrate.ports import Route, Unreachable

FILE = Path("/lab/tracseq-migrate.yaml")

ENVIRONMENT = """\
    gateway:
      url: http://gateway:8089/
      monolith: monolith
      instances: [{name: gateway-1, url: "http://gateway:8101", start: {supervisor: gateway-1}}]
      flags: {file: gateway/flags.env}
      reload: {strategy: supervisor}
    supervisor: run/supervisor.sock
    services:
      monolith: {url: "http://monolith:3000", database: main}
      storage: {url: "http://storage:3014", health: /healthz, start: {supervisor: storage}, database: storage}
    databases:
      main: {dsn: "${MAIN_DSN}"}
      storage: {dsn: file:secrets/storage.dsn}
"""
HEAD = "version: 1\nenvironments:\n  lab:\n"
MAIN = "postgresql://tracseq:s3cr%40t@db:5432/tracseq_main?sslmode=require"
STORAGE = "host=db dbname=tracseq_storage user=storage password='sto rage'"


def _load(
    text: str,
    environ: Mapping[str, str] | None = None,
    *,
    secret: str | None = STORAGE,
    environment: str | None = None,
    offline: bool = False,
) -> Environment:
    return config.load(
        FILE,
        _files(text, secret),
        {"MAIN_DSN": MAIN} if environ is None else environ,
        environment=environment,
        offline=offline,
    )


def _files(text: str, secret: str | None = STORAGE) -> MemoryFiles:
    files = MemoryFiles()
    files.bodies[FILE] = text.encode()
    if secret is not None:
        files.bodies[Path("/lab/secrets/storage.dsn")] = f"{secret}\n".encode()
    return files


def _findings(
    text: str, environ: Mapping[str, str] | None = None, *, secret: str | None = STORAGE
) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        _load(text, environ, secret=secret)
    return [str(finding).removeprefix("/lab/tracseq-migrate.yaml:") for finding in refused.value.findings]


def test_an_environment_is_read_with_paths_below_its_file_and_defaults_filled_in() -> None:
    lab = _load(HEAD + ENVIRONMENT)
    assert (lab.name, lab.file, lab.folder) == ("lab", FILE, Path("/lab"))
    assert (lab.sandbox, lab.confirm, lab.identity, lab.plans) == (False, False, "system", None)
    assert lab.state == Path("/lab/.tracseq-migrate")
    assert lab.supervisor == Path("/lab/run/supervisor.sock")
    assert lab.gateway.url == "http://gateway:8089"
    assert lab.gateway.flags.file == Path("/lab/gateway/flags.env")
    assert (lab.gateway.reload.start, lab.gateway.reload.drain) == (30.0, 10.0)
    assert lab.log.file == Path("/lab/MIGRATION_LOG.md")
    assert lab.log.git.commit is False
    assert lab.services["monolith"].start.external
    assert lab.services["storage"].start.supervisor == "storage"
    assert lab.health == {"monolith": "/health", "storage": "/healthz"}
    assert lab.stores == {"monolith": "main", "storage": "storage"}
    assert lab.monolith == "monolith"
    assert lab.targets == {
        "gateway": "http://gateway:8089",
        "gateway-1": "http://gateway:8101",
        "monolith": "http://monolith:3000",
        "storage": "http://storage:3014",
    }
    assert lab.databases["main"].dsn == MAIN
    assert lab.databases["storage"].dsn == STORAGE


def test_tracseqs_flags_hold_where_the_file_names_none_as_far_as_their_services_are_there() -> None:
    lab = _load(HEAD + ENVIRONMENT)
    assert dict(lab.routes) == {
        "USE_STORAGE_SERVICE": Route("USE_STORAGE_SERVICE", "storage", "/api/storage", "storage")
    }
    assert lab.offers.flags == {"USE_STORAGE_SERVICE"}
    assert lab.offers.targets == {"gateway", "gateway-1", "monolith", "storage"}


def test_the_table_of_tracseqs_flags_has_all_ten() -> None:
    table = {(route.flag, route.key, route.prefix, route.service) for route in config.TRACSEQ_ROUTES}
    assert table == {
        ("USE_AUTH_SERVICE", "auth", "/api/auth", "auth"),
        ("USE_SAMPLE_SERVICE", "samples", "/api/samples", "samples"),
        ("USE_TEMPLATE_SERVICE", "templates", "/api/templates", "templates"),
        ("USE_STORAGE_SERVICE", "storage", "/api/storage", "storage"),
        ("USE_SEQUENCING_SERVICE", "sequencing", "/api/sequencing", "sequencing"),
        ("USE_NOTIFICATION_SERVICE", "notifications", "/api/notifications", "notifications"),
        ("USE_RAG_SERVICE", "rag", "/api/rag", "rag"),
        ("USE_SPREADSHEET_SERVICE", "spreadsheet", "/api/spreadsheets", "spreadsheets"),
        ("USE_DASHBOARD_SERVICE", "dashboard", "/api/dashboard", "dashboard"),
        ("USE_REPORTS_SERVICE", "reports", "/api/reports", "reports"),
    }


def test_a_file_may_name_flags_of_its_own() -> None:
    named = ENVIRONMENT.replace(
        "flags: {file: gateway/flags.env}",
        "flags: {file: f.env, names: {MOVE_STORE: {key: store, prefix: /v2/store, service: storage}}}",
    )
    assert dict(_load(HEAD + named).routes) == {
        "MOVE_STORE": Route("MOVE_STORE", "store", "/v2/store", "storage")
    }


def test_how_long_the_lock_holds_can_be_chosen_but_not_too_short() -> None:
    assert _load(HEAD + ENVIRONMENT).lease == 30.0
    assert _load(HEAD + "    lease: 2m\n" + ENVIRONMENT).lease == 120.0
    (finding,) = _findings(HEAD + "    lease: 500ms\n" + ENVIRONMENT)
    assert finding == (
        "4:12: a lease of less than a second is lost to the first busy moment (write 1s or more, such as 30s)"
    )


def test_secrets_are_collected_with_their_parts_and_never_shown() -> None:
    lab = _load(HEAD + ENVIRONMENT, {"MAIN_DSN": MAIN, "PGPASSWORD": "from-outside"})
    assert lab.secrets == {MAIN, "s3cr%40t", "s3cr@t", STORAGE, "sto rage", "from-outside"}
    for secret in lab.secrets:
        assert secret not in repr(lab)
        assert secret not in json.dumps(lab.digest_view())


def test_a_variable_that_is_called_a_secret_is_one_wherever_it_stands() -> None:
    text = ENVIRONMENT.replace(
        "start: {supervisor: storage}", 'start: {supervisor: "storage-${DEPLOY_TOKEN}-${STOP_WORD}"}'
    )
    lab = _load(
        HEAD + text, {"MAIN_DSN": "postgresql://db/main", "DEPLOY_TOKEN": "t0k3n", "STOP_WORD": "stop"}
    )
    assert lab.services["storage"].start.supervisor == "storage-t0k3n-stop"
    assert lab.secrets == {"t0k3n", STORAGE, "sto rage"}
    assert lab.withheld == {"PGPASSWORD", "DEPLOY_TOKEN"}


def test_a_secret_in_an_argument_list_is_refused() -> None:
    text = ENVIRONMENT.replace(
        "start: {supervisor: storage}",
        'start: {command: {up: [deploy, "--token=${DEPLOY_TOKEN}"], down: [stop]}}',
    )
    (found,) = _findings(HEAD + text, {"MAIN_DSN": "postgresql://db/main", "DEPLOY_TOKEN": "t0k3n"})
    assert "a secret would stand in an argument list" in found
    assert "t0k3n" not in found


def test_the_view_for_digests_has_the_place_of_a_database_and_no_secret() -> None:
    view = _load(HEAD + ENVIRONMENT).digest_view()
    assert view["databases"] == {
        "main": {"dsn": "postgresql://tracseq@db:5432/tracseq_main"},
        "storage": {"dsn": "host=db dbname=tracseq_storage user=storage"},
    }
    assert view["gateway"]["flags"] == {"file": "gateway/flags.env", "write": "auto"}
    assert view["name"] == "lab"


def test_the_view_for_digests_changes_with_the_system_and_with_nothing_else() -> None:
    view = _load(HEAD + ENVIRONMENT).digest_view()
    same = (
        HEAD
        + "    # a comment\n    confirm: false\n    identity: git\n    log: {file: L.md}\n    lease: 5s\n"
        + ENVIRONMENT
    )
    assert _load(same).digest_view() == view
    assert _load(same, {"MAIN_DSN": MAIN.replace("s3cr%40t", "changed")}).digest_view() == view
    assert _load(same, {"MAIN_DSN": MAIN.replace("@db", "@other")}).digest_view() != view
    assert _load(HEAD + ENVIRONMENT.replace("storage:3014", "storage:3015")).digest_view() != view


@pytest.mark.parametrize(
    ("written", "environ", "value"),
    [
        ("${HOST}", {"HOST": "a"}, "http://a/x"),
        ("${HOST:-b}", {}, "http://b/x"),
        ("${HOST:-b}", {"HOST": ""}, "http://b/x"),
        ("${HOST:-b}", {"HOST": "a"}, "http://a/x"),
        ("${A}${B}", {"A": "a", "B": "b"}, "http://ab/x"),
        ("a$$b", {}, "http://a$b/x"),
        ("a$b", {}, "http://a$b/x"),
        ("a$${A}", {}, "http://a${A}/x"),
        ("${A}", {"A": "${B}"}, "http://${B}/x"),
    ],
)
def test_variables_are_filled_in(written: str, environ: dict[str, str], value: str) -> None:
    text = (HEAD + ENVIRONMENT).replace("http://monolith:3000", f"http://{written}/x")
    assert _load(text, {"MAIN_DSN": MAIN, **environ}).services["monolith"].url == value


@pytest.mark.parametrize("written", ["${}", "${A-b}", "${A", "${1A}", "${A B}"])
def test_what_is_no_variable_is_said_to_be_none(written: str) -> None:
    text = (HEAD + ENVIRONMENT).replace("http://monolith:3000", f"http://{written}")
    assert _findings(text) == [
        f"12:23: '{written}' is no variable (write ${{NAME}} or ${{NAME:-default}}; a dollar sign that means itself "
        "is written $$)"
    ]


def test_a_variable_that_is_not_set_and_a_secret_that_is_missing_are_findings_at_their_place() -> None:
    assert _findings(HEAD + ENVIRONMENT, {}, secret=None) == [
        "15:19: MAIN_DSN is not set (set it, or give a default: ${NAME:-default})",
        "16:22: the secret file /lab/secrets/storage.dsn is missing (write the secret into it, readable by you alone)",
    ]
    assert _findings(HEAD + ENVIRONMENT, secret="  ") == [
        "16:22: the secret file /lab/secrets/storage.dsn is empty (write the secret into it, readable by you alone)"
    ]


def test_offline_they_are_unknown_and_reading_them_is_no_answer() -> None:
    lab = _load(
        (HEAD + ENVIRONMENT).replace("http://gateway:8089/", "${GATEWAY}"), {}, secret=None, offline=True
    )
    with pytest.raises(Unreachable) as unknown:
        _ = lab.databases["main"].dsn
    assert str(unknown.value) == "${MAIN_DSN} (dsn in the environment file): MAIN_DSN is not set"
    with pytest.raises(Unreachable) as unknown:
        _ = lab.databases["storage"].dsn
    assert unknown.value.why == "the secret file /lab/secrets/storage.dsn is missing"
    with pytest.raises(Unreachable):
        _ = lab.targets
    assert not lab.gateway.is_known("url")
    assert lab.gateway.shown("url") == "${GATEWAY} (GATEWAY is not set)"
    assert lab.gateway.is_known("monolith")
    assert lab.gateway.shown("monolith") == "monolith"
    assert lab.services["storage"].url == "http://storage:3014"
    assert lab.offers.databases == {"main", "storage"}
    assert lab.digest_view()["databases"]["main"] == {"dsn": "${MAIN_DSN}"}


def test_what_says_how_the_file_is_meant_must_be_known_offline_too() -> None:
    text = (HEAD + ENVIRONMENT).replace("{strategy: supervisor}", '{strategy: "${STRATEGY}"}')
    with pytest.raises(InvalidInput) as refused:
        _load(text, offline=True)
    assert [(finding.line, finding.message) for finding in refused.value.findings] == [
        (9, "STRATEGY is not set")
    ]


def test_a_secret_that_is_no_connection_string_is_not_quoted() -> None:
    assert _findings(HEAD + ENVIRONMENT, {"MAIN_DSN": "oops-my-password"}) == [
        "15:19: this is not a connection string of PostgreSQL (such as postgresql://user:password@host:5432/name, "
        "best kept in a file: or a variable)"
    ]


SEVERAL = (
    f"version: 1\ndefault: prod\nenvironments:\n  lab:\n{ENVIRONMENT}"
    f"  prod:\n    confirm: true\n    log: {{file: PROD_LOG.md}}\n{ENVIRONMENT}"
)


def test_an_environment_is_chosen_by_name_then_by_default() -> None:
    assert _load(SEVERAL, environment="lab").name == "lab"
    assert _load(SEVERAL, environment="prod").name == "prod"
    assert _load(SEVERAL.replace("default: prod", "default: lab")).name == "lab"


@pytest.mark.parametrize(
    ("text", "given", "message", "hint"),
    [
        (
            SEVERAL,
            None,
            "the environment 'prod' must be named, so that nobody meets it by accident",
            "If you mean it: -e prod",
        ),
        (
            SEVERAL,
            "prud",
            "/lab/tracseq-migrate.yaml has no environment 'prud' (did you mean 'prod'?)",
            "",
        ),
        (
            SEVERAL.replace("default: prod\n", ""),
            None,
            "/lab/tracseq-migrate.yaml has several environments and no default",
            "Name one: -e lab | -e prod",
        ),
    ],
)
def test_an_environment_that_cannot_be_chosen_is_a_usage_error(
    text: str, given: str | None, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        _load(text, environment=given)
    assert (refused.value.message, refused.value.hint, refused.value.exit_code) == (message, hint, 2)


def test_another_environment_does_not_stand_in_the_way_but_validate_sees_it() -> None:
    text = SEVERAL.replace("default: prod", "default: lab") + "    wrong: 1\n"
    assert _load(text).name == "lab"
    looked = config.inspect(FILE, _files(text), {"MAIN_DSN": MAIN})
    assert [finding.message for finding in looked.findings] == ["unknown key 'wrong'"]
    assert looked.environment is None
    assert looked.facts is not None
    assert looked.facts.offers.services == {"monolith", "storage"}


def test_the_folder_of_plans_is_told_even_where_something_else_is_wrong() -> None:
    text = HEAD + "    plans: my-weeks\n    wrong: 1\n" + ENVIRONMENT
    assert config.inspect(FILE, _files(text), {"MAIN_DSN": MAIN}).plans == Path("/lab/my-weeks")
    text = HEAD + "    plans: ${PLANS}\n" + ENVIRONMENT
    assert config.inspect(FILE, _files(text), {"MAIN_DSN": MAIN}, offline=True).plans is None


def test_an_environment_that_nobody_asked_for_may_have_unset_variables() -> None:
    text = SEVERAL.replace("default: prod", "default: lab").replace("${MAIN_DSN}", "${PROD_DSN}")
    text = text.replace("${PROD_DSN}", "${MAIN_DSN}", 1)
    looked = config.inspect(FILE, _files(text), {"MAIN_DSN": MAIN})
    assert looked.findings == ()
    assert looked.environment is not None
    assert looked.environment.name == "lab"


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        (
            "version: 2\nenvironments: {}",
            ["1:10: 'version': expected 1, found 2", "2:15: too few entries: at least 1"],
        ),
        ("environments: 5\nversion: 1", ["1:15: 'environments': expected a mapping, found 5"]),
        ("version: 1", ["1:1: missing key 'environments'"]),
        (
            "version: 1\nenvirnments: {}",
            [
                "1:1: missing key 'environments'",
                "2:1: unknown key 'envirnments' (did you mean 'environments'?)",
            ],
        ),
        ("version: 1\nenvironments: {lab: 5}", ["2:21: 'lab': expected a mapping, found 5"]),
        ("version: 1\nenvironments: {lab: }", ["2:21: 'lab': expected a mapping, found nothing"]),
        (
            "version: 1\nenvironments: {lab: {}}",
            ["2:21: missing key 'gateway'", "2:21: missing key 'services'"],
        ),
        ("", ["1:1: the file is empty (it needs a mapping of keys and values)"]),
    ],
)
def test_a_file_that_is_none_says_so(text: str, findings: list[str]) -> None:
    assert _findings(text) == findings


def test_a_default_that_is_not_there_and_a_name_that_is_none_are_findings() -> None:
    text = f"version: 1\ndefault: labb\nenvironments:\n  Lab:\n{ENVIRONMENT}"
    assert _findings(text) == [
        "2:10: unknown environment 'labb' (did you mean 'Lab'?)",
        "4:3: 'Lab' cannot name an environment (small letters, digits and dashes, a letter first)",
    ]


def test_the_nearest_file_upwards_is_found(tmp_path: Path) -> None:
    files = LocalFiles()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "tracseq-migrate.yaml").write_text("outer")
    assert config.find(inner, files) == tmp_path / "tracseq-migrate.yaml"
    (tmp_path / "a" / "tracseq-migrate.yaml").write_text("nearer")
    assert config.find(inner, files) == tmp_path / "a" / "tracseq-migrate.yaml"
    assert config.locate(None, inner, files) == tmp_path / "a" / "tracseq-migrate.yaml"
    assert config.locate(tmp_path / "tracseq-migrate.yaml", inner, files) == tmp_path / "tracseq-migrate.yaml"


def test_no_environment_file_is_one_clear_error() -> None:
    files = MemoryFiles()
    with pytest.raises(InvalidSetup) as refused:
        config.locate(None, Path("/lab/deep"), files)
    assert refused.value.message == "there is no tracseq-migrate.yaml in /lab/deep or above it"
    assert "sandbox up" in refused.value.hint
    assert refused.value.exit_code == 3
    with pytest.raises(InvalidSetup, match=r"^there is no file /lab/x.yaml$"):
        config.locate(Path("/lab/x.yaml"), Path("/lab"), files)
    with pytest.raises(InvalidSetup, match=r"^/lab/x.yaml cannot be read: No such file or directory$"):
        config.load(Path("/lab/x.yaml"), files, {})


def test_two_environments_that_would_write_one_log_are_found_by_validate() -> None:
    text = SEVERAL.replace("PROD_LOG.md", "MIGRATION_LOG.md").replace("default: prod", "default: lab")
    assert _load(text).name == "lab"
    (finding,) = config.inspect(FILE, _files(text), {"MAIN_DSN": MAIN}).findings
    assert finding.message == "'prod' would write the same log as 'lab': MIGRATION_LOG.md"
    assert finding.remedy == "give each its own: log: {file: MIGRATION_LOG-prod.md}"


def test_services_or_databases_that_are_unknown_as_a_whole_are_findings_and_no_more() -> None:
    text = HEAD + ENVIRONMENT
    start = text.index("    services:")
    for written in ("    services: ${NOWHERE}\n", "    services: [{}]\n", "    services: 5\n"):
        looked = config.inspect(FILE, _files(text[:start] + written), {"MAIN_DSN": MAIN}, offline=True)
        assert text[:start].count("\n") + 1 in [finding.line for finding in looked.findings]
        assert looked.environment is None


def test_a_key_that_is_unknown_leaves_nothing_to_check_plans_against() -> None:
    names = "{file: f, names: {MOVE: {key: '${KEY}', prefix: /p, service: storage}}}"
    text = HEAD + ENVIRONMENT.replace("{file: gateway/flags.env}", names)
    looked = config.inspect(FILE, _files(text), {"MAIN_DSN": MAIN}, offline=True)
    assert looked.findings == ()
    assert looked.facts is None
    known = config.inspect(FILE, _files(text), {"MAIN_DSN": MAIN, "KEY": "k"})
    assert known.facts is not None
    assert known.facts.routes["MOVE"].key == "k"
    assert known.facts.routes.behind("/p") == {"storage"}
    assert known.facts.routes.behind("/q") == frozenset()
