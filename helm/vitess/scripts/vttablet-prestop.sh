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
  others=$(ctl GetTablets --keyspace "${SHARD%/*}" --shard "${SHARD#*/}" | awk -v own="$ALIAS" '$1 != own && $4 == "replica"') || return 1
  [ -z "$others" ]
}

# Others may be on their way back at this moment, so it is tried again. Without a vtctld the cluster is being taken down.
deadline=$((SECONDS + 90)) blind=0
while ((SECONDS < deadline)); do
  if ! record=$(ctl --compact GetShard "$SHARD"); then
    ((++blind < 5)) || break
  elif done_here "$record" || move_away; then
    exit 0
  fi
  sleep 2
done
say "no other tablet became the primary of $SHARD"
exit 0
