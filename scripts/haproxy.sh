#!/usr/bin/env bash
# haproxy can swap the gateway's instances without failing a request. Where it is missing and may be installed (root, on
# Debian or Ubuntu), it is; elsewhere the sandbox stands behind Caddy, which comes with the Python packages.
set -eu
if command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ]; then
  exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing haproxy"
  if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy; } >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "haproxy is not here and cannot be installed: the sandbox will use Caddy"
