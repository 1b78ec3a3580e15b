# The MySQL server of a tablet: mysqlctld makes it once, starts it, stops and starts it when the tablet's backups and restores ask for that, and lives
# as long as it does. Arguments: flags of mysqlctld.
. /vt/scripts/common.sh
. /vt/scripts/tablet.sh

extra=$VTDATAROOT/extra.cnf
{
  echo "slow_query_log_file = $FOLDER/slow-query.log"
  if [ -n "$SLOW_LOG_SECONDS" ]; then
    echo "slow_query_log = ON"
    echo "long_query_time = $SLOW_LOG_SECONDS"
  fi
  echo "general_log_file = $FOLDER/general.log"
  echo "general_log = $GENERAL_LOG"
  if [ "$MYSQL_SIZE" = test ]; then
    printf '%s\n' "innodb_log_file_size = 48M" "key_buffer_size = 1M" "aria_pagecache_buffer_size = 1M" "performance_schema = OFF" \
      "table_open_cache = 200"
  fi
  printf '%s\n' "${EXTRA_MY_CNF_TEXT:-}"
} >"$extra"
export EXTRA_MY_CNF=$extra

init=()
if [ -n "${INIT_DB_SQL:-}" ]; then
  printf '%s\n' "$INIT_DB_SQL" >"$VTDATAROOT/init.sql"
  init=(--init_db_sql_file "$VTDATAROOT/init.sql")
fi
# Without mysqld_safe: a server that ends is started again by Kubernetes, as a new container. Bash stays, as the first process of its container it
# takes in what others have left behind.
mysqlctld --tablet_uid "$TABLET_UID" --mysql_supervised=false --socket_file "$FOLDER/mysqlctl.sock" "${init[@]}" "$@" &
pid=$!
trap 'kill -TERM $pid' TERM INT
code=0
while wait $pid || code=$?; kill -0 $pid 2>/dev/null; do :; done
exit $code
