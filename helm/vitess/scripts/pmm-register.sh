# Tells pmm-agent, which runs in this container, of the tablet's MySQL server. PMM_FLAGS: further flags of `pmm-admin add mysql`, one a line.
. /vt/scripts/common.sh
. /vt/scripts/tablet.sh

flags=()
[ -z "${PMM_FLAGS:-}" ] || mapfile -t flags <<<"$PMM_FLAGS"
wait_for "the server in $FOLDER" test -S "$FOLDER/mysql.sock"
wait_for "PMM at $PMM_AGENT_SERVER_ADDRESS" pmm-admin status
# An account that may look and do nothing else, which logs in by the socket. The container logrotate cuts the logs, so PMM is not to.
wait_for "PMM to take in the server" pmm-admin add mysql --username=vt_monitoring --socket="$FOLDER/mysql.sock" \
  --service-name="$PMM_AGENT_SETUP_NODE_NAME" --cluster="$KEYSPACE" --replication-set="$KEYSPACE/$SHARD_NAME" \
  --query-source="$QUERY_SOURCE" --size-slow-logs=-1GiB "${flags[@]}"
say "PMM watches $PMM_AGENT_SETUP_NODE_NAME ($ALIAS)"
