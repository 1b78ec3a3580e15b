# What the other scripts share. Sourced by bash.
set -euo pipefail

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }

# wait_for WHAT COMMAND...: until the command succeeds, or WAIT_SECONDS have passed. Its last words are shown when it never does.
wait_for() {
  local what=$1 deadline=$((SECONDS + ${WAIT_SECONDS:-600})) out
  shift
  until out=$("$@" 2>&1); do
    if ((SECONDS >= deadline)); then
      say "waited ${WAIT_SECONDS:-600} s for $what; the last answer: $out"
      exit 1
    fi
    [ "${waiting:-}" = "$what" ] || say "waiting for $what"
    waiting=$what
    sleep 1
  done
}

# A command of vtctld. FLAGS: further flags, as an array of the script that sources this. PATIENCE: seconds after which it is given up.
ctl() { timeout "${PATIENCE:-0}" vtctldclient --server "$VTCTLD" "${FLAGS[@]}" "$@"; }
FLAGS=()

# uid_of CELL POD: 24 bits of a hash of the pod's group, and its number in it: the same whenever the pod is made anew.
uid_of() {
  local hash
  hash=$(printf '%s' "$1-${2%-*}" | md5sum)
  echo $((16#${hash:0:6} * 100 + ${2##*-}))
}

alias_of() { printf '%s-%010d\n' "$1" "$(uid_of "$1" "$2")"; }

# primary_of KEYSPACE/SHARD: the alias of its primary, as the topology has it; fails when there is none.
primary_of() {
  local record
  record=$(ctl --compact GetShard "$1") || { echo "$record"; return 1; }
  [[ $record =~ \"primary_alias\":[[:space:]]*\{[[:space:]]*\"cell\":[[:space:]]*\"([^\"]+)\",[[:space:]]*\"uid\":[[:space:]]*([0-9]+) ]] ||
    { echo "$1 has no primary"; return 1; }
  printf '%s-%010d\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
}

# has_primary KEYSPACE/SHARD: there is a primary, and it answers.
has_primary() {
  local primary
  primary=$(primary_of "$1") || { echo "$primary"; return 1; }
  ctl PingTablet "$primary"
}
