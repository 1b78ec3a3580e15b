# The MySQL server of a tablet: makes it once, starts it, and lives as long as it does. Arguments: flags of mysqlctl.
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

# Without mysqld_safe: a server that ends is started again by Kubernetes, as a new container.
server() { mysqlctl --tablet_uid "$TABLET_UID" --mysql_supervised=false "${flags[@]}" "$@"; }
flags=("$@")

stop() {
  say "stopping the server"
  server shutdown || exit 1
  exit 0
}
trap stop TERM INT

# A server that was being made when its container ended is made anew by init, which refuses one that is whole.
if [ -d "$FOLDER/data/mysql" ] && server reinit_config && server start; then
  say "started the server in $FOLDER"
else
  init=()
  if [ -n "${INIT_DB_SQL:-}" ]; then
    printf '%s\n' "$INIT_DB_SQL" >"$VTDATAROOT/init.sql"
    init=(--init_db_sql_file "$VTDATAROOT/init.sql")
  fi
  server init "${init[@]}"
  say "made the server in $FOLDER"
fi

pid=$(cat "$FOLDER/mysql.pid")
while kill -0 "$pid" 2>/dev/null; do
  sleep 1 &
  wait $! || true
done
say "the server has ended"
exit 1
