# A primary that is to end hands its role to another tablet first. Whatever happens here, the tablet ends.
. /vt/scripts/common.sh
. /vt/scripts/tablet.sh

[ -z "${CLIENT_FLAGS:-}" ] || mapfile -t FLAGS <<<"$CLIENT_FLAGS"  # Of vtctlclient.extraFlags: TLS, say.
move_away() { PATIENCE=40 ctl PlannedReparentShard --avoid-primary "$ALIAS" --wait-replicas-timeout 20s "$SHARD"; }

# done_here: is there nothing to hand over, or nobody to hand it to?
done_here() {
  [[ $1 == *'"is_primary_serving": true'* ]] || return 0
  [ "$(primary_of "$SHARD")" = "$ALIAS" ] || return 0
  local others
  others=$(PATIENCE=15 ctl GetTablets --keyspace "${SHARD%/*}" --shard "${SHARD#*/}" | awk -v own="$ALIAS" '$1 != own && $4 == "replica"') || return 1
  [ -z "$others" ]
}

# Others may be on their way back at this moment, so it is tried again. A vtctld without pods may have them again in a moment; one whose service has no
# name any more is gone for good: the cluster is being taken down.
gone() { ! getent hosts "${VTCTLD%:*}" >/dev/null; }
deadline=$((SECONDS + 90)) blind=0 nameless=0
while ((SECONDS < deadline)); do
  if ! record=$(PATIENCE=15 ctl --compact GetShard "$SHARD"); then
    if gone; then ((++nameless < 2)) || break; fi
    ((++blind < 5)) || break
  elif done_here "$record" || move_away; then
    exit 0
  else
    blind=0 nameless=0
  fi
  sleep 2
done
say "no other tablet became the primary of $SHARD"
exit 0
