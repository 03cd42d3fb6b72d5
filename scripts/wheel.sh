#!/usr/bin/env bash
# The wheel, as a stranger gets it: built, installed into an empty environment, and run from another folder. What it needs is
# installed by the lock; pip, forbidden to fetch anything, then says whether the wheel asks for more than that.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$BIN/python" -m build --quiet --no-isolation --wheel --outdir "$work/dist" . >/dev/null
"$BIN/python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.lock
PIP_FIND_LINKS='' "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index "$work"/dist/*.whl
"$work/venv/bin/python" -m pip check >/dev/null
cp -r benchmarks/nowhere "$work/elsewhere"
cd "$work/elsewhere"
tm="$work/venv/bin/tracseq-migrate"
"$tm" --version
"$tm" --help >/dev/null
"$tm" validate
"$tm" plan week1 --offline >/dev/null
"$tm" plan week2 --offline --json | "$work/venv/bin/python" -c 'import json, sys; assert json.load(sys.stdin)["week"] == "week2"'
"$tm" log render >/dev/null
grep -q '^# Migration log' MIGRATION_LOG.md
code=0; "$tm" sandbox up >/dev/null 2>message || code=$?
[ "$code" = 3 ] && grep -q "tracseq-migrate\[sandbox\]" message
echo "the wheel works from another folder, with the packaged weeks and template"
