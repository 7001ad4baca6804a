#!/usr/bin/env bash
# usage: scripts/install-test-packages.sh [image]
#
# Installs the programs that tests start, or those of `make image-test`, where the system's package manager may
# be used; else names what is missing and fails. A test never passes because its
# counterpart is absent.
set -euo pipefail

# program=Debian package
wanted=(
	redis-server=redis-server
	chromium=chromium
	curl=curl
	openssl=openssl
	haproxy=haproxy
	node=nodejs
	nghttpd=nghttp2-server
	varnishd=varnish
	java=default-jre-headless
	mvn=maven
	npm=npm
	python3=python3
	pip3=python3-pip
	kcat=kcat
	systemd-socket-activate=systemd
	promtool=prometheus
	gtlsclient=ngtcp2-client
	strace=strace
)

if [ "${1:-}" = image ]; then
	wanted=(buildah=buildah runc=runc nsenter=util-linux curl=curl)
fi

missing=()
for entry in "${wanted[@]}"; do
	# Debian keeps some where only root's PATH leads.
	command -v "${entry%%=*}" >/dev/null || [ -x "/usr/sbin/${entry%%=*}" ] || missing+=("${entry#*=}")
done
((${#missing[@]})) || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing for the tests: ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
	exit 0
fi
echo "the tests need programs that are not here; install the packages: ${missing[*]}" >&2
exit 1
