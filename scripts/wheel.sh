#!/usr/bin/env bash
# The wheel, as a stranger gets it: built, installed into an empty environment, and run from another folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$BIN/python" -m build --quiet --wheel --outdir "$work/dist" . >/dev/null
"$BIN/python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$work"/dist/*.whl
mkdir "$work/elsewhere"
cd "$work/elsewhere"
tm="$work/venv/bin/tracseq-migrate"
"$tm" --version
"$tm" --help >/dev/null
cat > tracseq-migrate.yaml <<'YAML'
version: 1
environments:
  nowhere:
    gateway:
      url: http://127.0.0.1:9
      monolith: monolith
      instances: [{name: gateway-1, url: "http://127.0.0.1:9"}]
      flags: {file: flags.env}
      reload: {strategy: command, command: ["true"]}
    services:
      monolith: {url: "http://127.0.0.1:19"}
      notifications: {url: "http://127.0.0.1:29"}
      storage: {url: "http://127.0.0.1:39"}
      rag: {url: "http://127.0.0.1:49"}
      templates: {url: "http://127.0.0.1:59"}
YAML
printf 'USE_STORAGE_SERVICE=false\n' > flags.env
"$tm" validate
"$tm" plan week1 --offline >/dev/null
"$tm" plan week2 --offline --json | "$work/venv/bin/python" -c 'import json, sys; assert json.load(sys.stdin)["week"] == "week2"'
"$tm" log render >/dev/null
grep -q '^# Migration log' MIGRATION_LOG.md
code=0; "$tm" sandbox up >/dev/null 2>message || code=$?
[ "$code" = 3 ] && grep -q "tracseq-migrate\[sandbox\]" message
echo "the wheel works from another folder, with the packaged weeks and template"
