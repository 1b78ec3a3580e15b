# The first primary of a shard: does nothing where there is one.
. /vt/scripts/common.sh
FLAGS=("$@")

all_tablets() {
  local tablets
  tablets=$(ctl GetTablets --keyspace "$KEYSPACE" --shard "${SHARD#*/}") || { echo "$tablets"; return 1; }
  (($(grep -c . <<<"$tablets") >= TABLETS)) || { echo "of $TABLETS tablets there are: $tablets"; return 1; }
  local alias
  for alias in $(awk '{print $1}' <<<"$tablets"); do ctl PingTablet "$alias" || return 1; done
}

elected() {
  primary_of "$SHARD" ||
    ctl PlannedReparentShard --new-primary "$(alias_of "$CELL" "$PRIMARY_POD")" --wait-replicas-timeout 30s "$SHARD"
}

wait_for "vtctld" ctl GetCellInfoNames
if primary=$(primary_of "$SHARD"); then
  say "$SHARD has a primary: $primary"
  exit 0
fi
wait_for "$TABLETS tablets of $SHARD" all_tablets
[ -z "$DURABILITY" ] || ctl SetKeyspaceDurabilityPolicy --durability-policy "$DURABILITY" "$KEYSPACE"
wait_for "the election of $PRIMARY_POD" elected
ctl RebuildVSchemaGraph
say "the primary of $SHARD is $(primary_of "$SHARD")"
