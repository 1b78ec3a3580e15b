# Makes the tables of one shard in another, once both have primaries and the tables are there.
. /vt/scripts/common.sh
FLAGS=("$@")

tables_are_there() {
  local source names table
  source=$(primary_of "$SOURCE") || { echo "$source"; return 1; }
  names=$(ctl GetSchema --table-names-only "$source") || { echo "$names"; return 1; }
  [ -n "$names" ] || { echo "$SOURCE has no tables"; return 1; }
  for table in ${TABLES//,/ }; do
    [[ $table == /* ]] || grep -qxF "$table" <<<"$names" || { echo "$SOURCE has no table $table"; return 1; }
  done
}

wait_for "a primary of $SOURCE" has_primary "$SOURCE"
wait_for "a primary of $SHARD" has_primary "$SHARD"
wait_for "the tables of $SOURCE" tables_are_there
ctl CopySchemaShard ${TABLES:+--tables "$TABLES"} "$SOURCE" "$SHARD"
say "copied the schema of $SOURCE to $SHARD"
