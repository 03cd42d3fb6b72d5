#!/usr/bin/env bash
# Data on a whole small TracSeq: users and samples come to life in their services' databases while clients write, are compared, and go
# again without a trace.
set -euo pipefail
DIR=${DEMO_DIR:-.demo}
PLAN="$PWD/examples/data/data.yaml"
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
down() { tracseq-migrate sandbox down --dir "$DIR" >/dev/null 2>&1 || true; }
trap down EXIT
down
CONFIG="$DIR/tracseq-migrate.yaml"

say tracseq-migrate sandbox up --dir "$DIR" --users 5000
mkdir -p "$DIR/weeks"
cp "$PLAN" "$DIR/weeks/"
say tracseq-migrate -c "$CONFIG" plan data

printf '\nClients read and write meanwhile, 60 requests a second:\n'
tracseq-migrate sandbox load --dir "$DIR" --rate 60 --for 25s --mix reads=1,users=3,samples=3 >"$DIR/load.txt" 2>&1 &
LOAD=$!
say tracseq-migrate -c "$CONFIG" run data --yes
say tracseq-migrate -c "$CONFIG" compare data
say tracseq-migrate -c "$CONFIG" sync status
wait "$LOAD"
cat "$DIR/load.txt"

say tracseq-migrate -c "$CONFIG" compare data
say tracseq-migrate -c "$CONFIG" status data
say tracseq-migrate -c "$CONFIG" rollback data
say tracseq-migrate -c "$CONFIG" log verify
say cat "$DIR/MIGRATION_LOG.md"
say tracseq-migrate sandbox down --dir "$DIR"
trap - EXIT
printf '\nEvery row was on both sides, and what was copied is gone again.\n'
