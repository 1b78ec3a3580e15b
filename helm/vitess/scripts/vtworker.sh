# A job of jobs[] that vtworker carries out, once there is what it needs. Arguments: vtworker's flags. Its command is text of a shell. It may be
# run again after a failure: what was copied is not copied a second time.
. /vt/scripts/common.sh
[ -z "${CLIENT_FLAGS:-}" ] || mapfile -t FLAGS <<<"$CLIENT_FLAGS"  # Of vtctlclient.extraFlags.

wait_for "vtctld" ctl GetCellInfoNames
eval "words=($COMMAND)"
shard=${words[-1]}
[[ $shard != */* ]] || wait_for "a primary of $shard" has_primary "$shard"
say "vtworker $COMMAND"
exec vtworker --wait_for_healthy_tablets_timeout "${WAIT_SECONDS}s" "$@" "${words[@]}"
