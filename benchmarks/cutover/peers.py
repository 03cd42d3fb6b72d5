"""How users change their owner without the tool: by hand, as runbooks and articles say, with the same transformation in SQL."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracseq_migrate.adapters.supervisor import SupervisorProgram

_MAPPED = """
    SELECT a.id, CASE WHEN a.email ~ '^[^@]+@[^@.]+$' THEN a.email || '.invalid' ELSE a.email END AS email,
        coalesce(a.password_hash, '!') AS password_hash, coalesce(a.first_name, a.given_name, '') AS first_name,
        coalesce(a.last_name, a.family_name, '') AS last_name,
        CASE a.role::text WHEN 'admin' THEN 'lab_administrator' WHEN 'lab_manager' THEN 'principal_investigator'
            WHEN 'researcher' THEN 'research_scientist' WHEN 'viewer' THEN 'guest' ELSE a.role::text END AS role,
        CASE a.status::text WHEN 'locked' THEN 'suspended' WHEN 'active' THEN 'active' WHEN 'suspended' THEN 'suspended'
            ELSE 'inactive' END AS status
    FROM {users} a WHERE a.email NOT LIKE '%%admin@lab.local'
"""
_COLUMNS = "id, email, password_hash, first_name, last_name, role, status"
_FLAG = "USE_AUTH_SERVICE"


class Peer:
    """Somebody with a shell, `psql` and a runbook."""

    def __init__(self, folder: Path, document: dict[str, Any], supervisor: str) -> None:
        self.folder = folder
        self.flags = Path(document["flag_file"])
        self.instances = [row["name"] for row in document["gateway"]["instances"]]
        self._supervisor = str(folder / supervisor)
        self.main = psycopg.connect(document["databases"]["main"], autocommit=True)
        self.auth = psycopg.connect(document["databases"]["auth"], autocommit=True)
        self.role = self.main.info.user

    def service_up(self) -> None:
        SupervisorProgram(self._supervisor, "auth").up(timeout=30.0)

    def restart_gateways(self, *, on: bool) -> None:
        """The flag in the file, and every instance again, one after another: bare restarts."""
        text = self.flags.read_text()
        lines = [line for line in text.splitlines() if not line.startswith(f"{_FLAG}=")]
        self.flags.write_text("\n".join([*lines, f"{_FLAG}={str(on).lower()}"]) + "\n")
        for name in self.instances:
            gateway = SupervisorProgram(self._supervisor, name)
            gateway.down(timeout=30.0)
            gateway.up(timeout=30.0)

    def prepare(self) -> None:
        """Days before."""

    def change(self) -> None:
        raise NotImplementedError

    def settle(self) -> None:
        """Nobody works: what was under way has arrived after this."""

    def set_back(self) -> None:
        """Nobody works: everything is as before `prepare`, and the monolith has what the service had."""
        rows = self.auth.execute("SELECT id, last_name FROM users").fetchall()
        with self.main.cursor() as cursor:
            cursor.executemany("UPDATE users SET last_name = %s WHERE id = %s", [(b, a) for a, b in rows])
        self.restart_gateways(on=False)
        self.auth.execute("TRUNCATE users CASCADE")

    def clean(self) -> None:
        self.main.close()
        self.auth.close()


class Runbook(Peer):
    """Announce it, stop writes, wait for what is under way, copy, switch by restarting the gateway, let them write again."""

    WAIT = 1.0
    """Seconds; runbooks say five to thirty."""

    def change(self) -> None:
        self.main.execute("ALTER TABLE users ENABLE TRIGGER closed")
        time.sleep(self.WAIT)
        rows = self.main.execute(_MAPPED.format(users="users")).fetchall()
        with self.auth.transaction(), self.auth.cursor() as cursor:
            cursor.execute("TRUNCATE users CASCADE")
            with cursor.copy(f"COPY users ({_COLUMNS}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        self.restart_gateways(on=True)

    def prepare(self) -> None:
        self.main.execute(
            "CREATE OR REPLACE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'closed for a migration' USING ERRCODE = '57P03'; END $$"
        )
        self.main.execute(
            "CREATE OR REPLACE TRIGGER closed BEFORE INSERT OR UPDATE OR DELETE ON users EXECUTE FUNCTION closed()"
        )
        self.main.execute("ALTER TABLE users DISABLE TRIGGER closed")

    def set_back(self) -> None:
        self.main.execute("DROP TRIGGER closed ON users")
        super().set_back()


class Replication(Peer):
    """Publication and subscription, with the transformation in a trigger; the switch by hand when nothing is behind: the gateways
    restarted one after the other behind the proxy, then the subscription ended."""

    def __init__(self, folder: Path, document: dict[str, Any], supervisor: str) -> None:
        super().__init__(folder, document, supervisor)
        superuser = peer_superuser(folder, document)
        self.a = psycopg.connect(superuser["main"], autocommit=True)
        self.b = psycopg.connect(superuser["auth"], autocommit=True)
        self._dsn = superuser["main"]

    def prepare(self) -> None:
        table = (
            "CREATE SCHEMA handover; CREATE TABLE handover.users (id uuid PRIMARY KEY, email text, password_hash text,"
            " first_name text, last_name text, role text, status text)"
        )
        self.a.execute(table)
        self.a.execute("GRANT USAGE ON SCHEMA handover TO PUBLIC; GRANT ALL ON handover.users TO PUBLIC")
        mapped = _MAPPED.replace("%%", "%").format(users="(SELECT NEW.*)")
        pairs = ", ".join(f"{name} = EXCLUDED.{name}" for name in _COLUMNS.split(", ")[1:])
        self.a.execute(
            "CREATE FUNCTION handover.mapped() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" INSERT INTO handover.users ({_COLUMNS}) {mapped} ON CONFLICT (id) DO UPDATE SET {pairs}; RETURN NULL; END $$"
        )
        self.a.execute(
            "CREATE TRIGGER mapped AFTER INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION handover.mapped()"
        )
        self.a.execute(
            f"INSERT INTO handover.users ({_COLUMNS}) {_MAPPED.replace('%%', '%').format(users='users')} ON CONFLICT DO NOTHING"
        )
        self.a.execute("CREATE PUBLICATION handover FOR TABLE handover.users")
        self.b.execute(table)
        typed = _COLUMNS.replace("role", "role::public.user_role").replace(
            "status", "status::public.user_status"
        )
        values = ", ".join(f"NEW.{name.strip()}" for name in typed.split(","))
        self.b.execute(
            "CREATE FUNCTION handover.arrived() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" INSERT INTO public.users ({_COLUMNS}) VALUES ({values}) ON CONFLICT (id) DO UPDATE SET {pairs};"
            " RETURN NULL; END $$"
        )
        self.b.execute(
            "CREATE TRIGGER arrived AFTER INSERT OR UPDATE ON handover.users FOR EACH ROW"
            " EXECUTE FUNCTION handover.arrived()"
        )
        # The first rows come without the trigger's help: a subscription's copy fires it only where it is enabled for replicas.
        self.b.execute("ALTER TABLE handover.users ENABLE ALWAYS TRIGGER arrived")
        # Both databases are of one server: the slot has to be made in a session of its own, or the two wait for each other.
        self.a.execute("SELECT pg_create_logical_replication_slot('handover', 'pgoutput')")
        self.b.execute(
            f"CREATE SUBSCRIPTION handover CONNECTION '{self._dsn}' PUBLICATION handover"
            " WITH (create_slot = false, slot_name = 'handover', copy_data = true)"
        )
        self._until_copied()

    def _until_copied(self) -> None:
        until = time.monotonic() + 60
        while True:
            (left,) = self.b.execute(
                "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'"
            ).fetchone() or (1,)
            if not left and not self._behind():
                return
            if time.monotonic() > until:
                raise SystemExit("the subscription does not follow")
            time.sleep(0.05)

    def _behind(self) -> int:
        row = self.a.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) FROM pg_replication_slots"
            " WHERE slot_name = 'handover'"
        ).fetchone()
        return int(row[0]) if row and row[0] is not None else 1

    def change(self) -> None:
        # Under load it is never exactly nothing: an article's "wait until the lag is near zero".
        until = time.monotonic() + 10
        while self._behind() > 10_000 and time.monotonic() < until:
            time.sleep(0.05)
        self.restart_gateways(on=True)
        self.b.execute("ALTER SUBSCRIPTION handover DISABLE")

    def set_back(self) -> None:
        self._drop()
        super().set_back()

    def _drop(self) -> None:
        self.b.execute("ALTER SUBSCRIPTION handover DISABLE")
        self.b.execute("ALTER SUBSCRIPTION handover SET (slot_name = NONE)")
        self.b.execute("DROP SUBSCRIPTION handover")
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                self.a.execute("SELECT pg_drop_replication_slot('handover')")
                break
            except psycopg.errors.ObjectInUse:
                time.sleep(0.1)
        self.a.execute(
            "DROP PUBLICATION handover; DROP TRIGGER mapped ON users; DROP SCHEMA handover CASCADE"
        )
        self.b.execute("DROP SCHEMA handover CASCADE")

    def clean(self) -> None:
        super().clean()
        self.a.close()
        self.b.close()


def peer_superuser(folder: Path, document: dict[str, Any]) -> dict[str, str]:
    """DSNs of the server's superuser, by the name of the database: a subscription needs one."""
    superuser = next(folder.rglob("superuser.dsn")).read_text().strip()
    return {
        name: make_conninfo(superuser, dbname=conninfo_to_dict(document["databases"][name])["dbname"])
        for name in ("main", "auth")
    }
