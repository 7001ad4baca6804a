#!/bin/sh
# Installs what the benchmark needs beside Go: nginx, wrk and h2load. As root on
# a system with apt-get it installs them; else it names them and fails.
set -eu

missing=""
command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
command -v h2load >/dev/null 2>&1 || missing="$missing nghttp2-client"
# Debian keeps nginx where only root's PATH leads.
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "bench: please install these packages (Debian's names):$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # A list of words.
apt-get install -q -y --no-install-recommends $missing
