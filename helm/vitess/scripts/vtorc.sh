# vtorc, once the topology knows the cell. Arguments: its flags, those that lead to the topology first.
. /vt/scripts/common.sh

wait_for "cell $CELL in the topology" vtctldclient --server internal "${@:1:3}" GetCellInfo "$CELL"
exec vtorc "$@"
