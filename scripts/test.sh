#!/usr/bin/env bash
# usage: scripts/test.sh [flags of go test]
#
# Runs all tests of all modules with the race detector, but those marked with
# the line "//transom:norace" above them without it: they compute much in one
# goroutine, or measure memory, which the detector changes. It goes on after a
# failure, names all failures at the end, and then exits with 1. `make lint` vets
# all of it, so the tests do not.
#
# The other modules' tests run beside the root's, one package at a time, as all of
# them wait much for programs that they start; what they print comes at the end.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

scratch=$(mktemp -d) || exit
others=
# Interrupted, it leaves nothing behind that runs.
trap '[ -z "$others" ] || kill -- "-$others" 2>/dev/null; rm -rf "$scratch"' EXIT

# try NAME DIRECTORY COMMAND… keeps what is printed under the name, and tells failures.
try() {
	local name=$1 dir=$2
	shift 2
	echo "== in $dir: $*"
	(cd "$dir" && "$@") 2>&1 | tee -a "$scratch/$name" || echo "in $dir: $*" >>"$scratch/failed"
}

# test_module NAME MODULE FLAGS…
test_module() {
	local name=$1 module=$2 file test names=
	local race=(go test -race -vet=off -timeout 30m) folders=()
	shift 2
	while IFS=: read -r file test; do
		folders+=("./$(dirname "$file")") names+="${names:+|}$test"
	done < <(cd "$module" && git ls-files --cached --others --exclude-standard '*_test.go' | { [ "$module" != . ] && cat || grep -v '^interop/\|^bench/'; } |
		xargs -r awk '/^\/\/transom:norace$/ { marked = 1; next } marked && sub(/^func /, "") { sub(/\(.*/, ""); print FILENAME ":" $0 } { marked = 0 }')
	if [ -n "$names" ]; then
		race+=(-skip "^($names)\$")
	fi
	try "$name" "$module" "${race[@]}" "$@" ./...
	if [ -n "$names" ]; then
		mapfile -t folders < <(printf '%s\n' "${folders[@]}" | sort -u)
		try "$name" "$module" go test -vet=off -timeout 30m -run "^($names)\$" "$@" "${folders[@]}"
	fi
}

touch "$scratch/failed"
set -m # the others are a group of processes, which ends as one
(
	for mod in interop/go.mod interop/deploy/go.mod bench/go.mod; do
		[ ! -f "$mod" ] || test_module others "$(dirname "$mod")" -p 1 "$@"
	done
) >"$scratch/printed" 2>&1 </dev/null &
others=$!
set +m
test_module root . "$@"
wait "$others"
others=
cat "$scratch/printed"

[ -s "$scratch/failed" ] || exit 0
echo
echo "== failed:"
cat "$scratch/root" "$scratch/others" | grep -E '^(FAIL[[:space:]]|panic: |fatal error: |WARNING: DATA RACE)|^[[:space:]]*--- FAIL'
cat "$scratch/failed"
exit 1
