#!/usr/bin/env bash
# The main job on a whole small TracSeq: week 1 and 2 there and back, while clients read and write.
set -euo pipefail
DIR=${DEMO_DIR:-.demo}
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
down() { tracseq-migrate sandbox down --dir "$DIR" >/dev/null 2>&1 || true; }
trap down EXIT
down
CONFIG="$DIR/tracseq-migrate.yaml"

say tracseq-migrate sandbox up --dir "$DIR"
say tracseq-migrate -c "$CONFIG" status
say tracseq-migrate -c "$CONFIG" plan week1
say tracseq-migrate -c "$CONFIG" run week1 --yes

printf '\nWeek 2 while clients read and write, 40 requests a second:\n'
tracseq-migrate sandbox load --dir "$DIR" --rate 40 --for 12s --mix reads=3,users=1,samples=1 >"$DIR/load.txt" 2>&1 &
LOAD=$!
say tracseq-migrate -c "$CONFIG" run week2 --yes
wait "$LOAD"
cat "$DIR/load.txt"

say tracseq-migrate -c "$CONFIG" status
say tracseq-migrate -c "$CONFIG" rollback week2
say tracseq-migrate -c "$CONFIG" rollback week1
say tracseq-migrate -c "$CONFIG" status
say tracseq-migrate -c "$CONFIG" log verify
say cat "$DIR/MIGRATION_LOG.md"
say tracseq-migrate sandbox down --dir "$DIR"
trap - EXIT
printf '\nThere and back: every step was seen, and nothing was left behind.\n'
