#!/usr/bin/env bash
# requirements/*.lock: every package that the project needs, by version and by the hashes of all its files, for every
# supported Python and platform (by markers). The locks name no index: pip takes the files from wherever it is configured to.
# Which index the versions are looked up in is uv's own setting (UV_DEFAULT_INDEX).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
oldest=$(sed -nE 's/^requires-python = ">=([0-9.]+)"$/\1/p' pyproject.toml)
lock() { # lock FILE [ARGUMENTS]
  local file=$1
  shift
  "$work/venv/bin/uv" pip compile pyproject.toml --quiet --universal --python-version "$oldest" --generate-hashes \
    --custom-compile-command "make lock" ${UPGRADE:+--upgrade} "$@" --output-file "$file"
}
lock requirements/base.lock
lock requirements/dev.lock --extra dev --constraints requirements/base.lock
grep -cE '^[a-z].*==' requirements/base.lock requirements/dev.lock | sed 's/:/: /; s/$/ packages/'
