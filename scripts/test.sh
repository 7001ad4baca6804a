#!/usr/bin/env bash
# usage: scripts/test.sh [flags of go test]
#
# Runs all tests of all modules with the race detector, but those marked with
# the line "//transom:norace" above them without it: they compute much in one
# goroutine, or measure memory, which the detector changes. It goes on after a
# failure, names all failures at the end, and then exits with 1.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

out=$(mktemp) || exit
trap 'rm -f "$out"' EXIT
failed=()

# try DIRECTORY COMMAND…
try() {
	local dir=$1
	shift
	echo "== in $dir: $*"
	(cd "$dir" && "$@") 2>&1 | tee -a "$out" || failed+=("in $dir: $*")
}

for mod in go.mod interop/go.mod interop/deploy/go.mod bench/go.mod; do
	[ -f "$mod" ] || continue
	module=$(dirname "$mod")
	race=(go test -race -timeout 20m)
	folders=() names=
	while IFS=: read -r file name; do
		folders+=("./$(dirname "$file")") names+="${names:+|}$name"
	done < <(cd "$module" && git ls-files --cached --others --exclude-standard '*_test.go' | { [ "$module" != . ] && cat || grep -v '^interop/\|^bench/'; } |
		xargs -r awk '/^\/\/transom:norace$/ { marked = 1; next } marked && sub(/^func /, "") { sub(/\(.*/, ""); print FILENAME ":" $0 } { marked = 0 }')
	if [ -n "$names" ]; then
		race+=(-skip "^($names)\$")
	fi
	try "$module" "${race[@]}" "$@" ./...
	if [ -n "$names" ]; then
		mapfile -t folders < <(printf '%s\n' "${folders[@]}" | sort -u)
		try "$module" go test -timeout 20m -run "^($names)\$" "$@" "${folders[@]}"
	fi
done

((${#failed[@]})) || exit 0
echo
echo "== failed:"
grep -E '^(FAIL[[:space:]]|panic: |fatal error: |WARNING: DATA RACE)|^[[:space:]]*--- FAIL' "$out"
printf '%s\n' "${failed[@]}"
exit 1
