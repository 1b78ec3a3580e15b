# Runs statements on every shard of a keyspace, once these have primaries.
. /vt/scripts/common.sh
FLAGS=("$@")

for shard in $SHARDS; do wait_for "a primary of $shard" has_primary "$shard"; done
ctl ApplySchema --sql-file /vt/files/schema.sql "$KEYSPACE"
say "applied to $KEYSPACE"
