#!/usr/bin/env bash
# The pure tests, half of the files in each of two processes: on two cores in half the time. Says what either of them said.
# Usage: tests/check.sh PYTHON FILE_OR_FOLDER... [-- PYTEST_ARGUMENT...]
set -euo pipefail
python=$1
shift
files=() more=()
while [ $# -gt 0 ]; do
  if [ "$1" = -- ]; then
    shift
    more=("$@")
    break
  fi
  if [ -d "$1" ]; then
    while IFS= read -r file; do files+=("$file"); done < <(find "$1" -name 'test_*.py' | sort)
  else
    files+=("$1")
  fi
  shift
done
first=() second=()
for number in "${!files[@]}"; do
  if [ $((number % 2)) = 0 ]; then first+=("${files[number]}"); else second+=("${files[number]}"); fi
done
said=$(mktemp)
trap 'rm -f "$said"' EXIT
here=0 there=0
"$python" -m pytest -q -p no:cacheprovider "${first[@]}" ${more[@]+"${more[@]}"} >"$said" 2>&1 &
other=$!
"$python" -m pytest -q "${second[@]}" ${more[@]+"${more[@]}"} || here=$?
wait "$other" || there=$?
cat "$said"
# 5: nothing that was asked for is in this half
for code in "$here" "$there"; do [ "$code" = 0 ] || [ "$code" = 5 ] || exit "$code"; done
[ "$here" = 0 ] || exit "$there"
