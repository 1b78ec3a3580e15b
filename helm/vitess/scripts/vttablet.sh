# The tablet. Arguments: its flags.
. /vt/scripts/common.sh
. /vt/scripts/tablet.sh

wait_for "the server in $FOLDER" test -S "$FOLDER/mysql.sock"
# The first three flags lead to the topology, which must know the cell.
wait_for "cell $CELL in the topology" vtctldclient --server internal "${@:1:3}" GetCellInfo "$CELL"
exec flock --no-fork "$VTDATAROOT/vttablet.lock" vttablet --tablet_path "$ALIAS" --mysqlctl_socket "$FOLDER/mysqlctl.sock" "$@"
