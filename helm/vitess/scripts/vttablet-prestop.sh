# A primary that is to end hands its role to another tablet first. Whatever happens here, the tablet ends.
. /vt/scripts/common.sh
. /vt/scripts/tablet.sh

primary=$(primary_of "$SHARD") || primary=unknown
if [ "$primary" = "$ALIAS" ]; then
  timeout 60 vtctldclient --server "$VTCTLD" PlannedReparentShard --avoid-primary "$ALIAS" --wait-replicas-timeout 20s "$SHARD" ||
    say "no other tablet became the primary of $SHARD"
fi
exit 0
