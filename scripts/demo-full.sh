#!/usr/bin/env bash
# Weeks 1 to 4 on a whole small TracSeq while clients write: users, samples and sequencing jobs change their owner; then weeks 4 and 3 go
# back, with everything that was written since. At the end every acknowledged write is looked for where it belongs.
set -euo pipefail
DIR=${DEMO_DIR:-.demo}
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
LOAD=
down() { [ -z "$LOAD" ] || kill "$LOAD" 2>/dev/null || true; tracseq-migrate sandbox down --dir "$DIR" >/dev/null 2>&1 || true; }
trap down EXIT
down
CONFIG="$DIR/tracseq-migrate.yaml"
# Who you are is told to a sandbox by this variable alone; two people must say that weeks 3 and 4 may begin.
as() { TRACSEQ_MIGRATE_IDENTITY=$1 say tracseq-migrate -c "$CONFIG" "${@:2}"; }

say tracseq-migrate sandbox up --dir "$DIR" --users 2000
as ana run week1 --yes
as ana run week2 --yes

printf '\nClients read and write from here on, 60 requests a second:\n'
tracseq-migrate sandbox load --dir "$DIR" --rate 60 --for 75s --mix reads=1,users=2,samples=2,sequencing=1 >"$DIR/load.txt" 2>&1 &
LOAD=$!

as ana plan week3
as ana approve week3 go
as ben approve week3 go
as ana run week3 --yes --confirm "backup-restored=demo" --confirm "sign-in-tried=demo"
as ana compare week3
as ana approve week4 go
as ben approve week4 go
as ana run week4 --yes --confirm "backup-restored=demo"
as ana compare week4
as ana sync status
sleep 5
# What only the services know (who moved which sample when) has no place in the monolith. It is listed first; then the tables go back to
# the monolith and it stays where it is; and then, as somebody signs that it may, it is written to a file and goes with the copies.
as ana rollback week4 || true
as ana rollback week4 --to sequencing
as ana rollback week4 --accept-loss
as ana rollback week3
printf '\nUntil the clients are done, and have looked for every write that was acknowledged:\n'
FOUND=0
wait "$LOAD" || FOUND=$?
LOAD=
cat "$DIR/load.txt"
[ "$FOUND" = 0 ] || exit "$FOUND"

as ana status
as ana log verify
say cat "$DIR/MIGRATION_LOG.md"
say tracseq-migrate sandbox down --dir "$DIR"
trap - EXIT
printf '\nFour changes of owner while people worked; nothing that was acknowledged is lost.\n'
