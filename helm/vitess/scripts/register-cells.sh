# Writes the cells into the global topology, before vtctld starts: directly, for there is no vtctld yet.
. /vt/scripts/common.sh

topology() {
  vtctldclient --server internal --topo_implementation etcd2 --topo_global_server_address "$GLOBAL_ETCD" \
    --topo_global_root "$TOPO_ROOT/global" "$@"
}

wait_for "the global topology" topology GetCellInfoNames
names=$(topology GetCellInfoNames)
for entry in $CELLS; do  # <name>=<address of its etcd>
  cell=${entry%%=*} address=${entry#*=}
  action=AddCellInfo
  grep -qxF "$cell" <<<"$names" && action=UpdateCellInfo
  # Several vtctlds may start at once: who comes second updates what the first has added.
  topology $action --root "$TOPO_ROOT/$cell" --server-address "$address" "$cell" ||
    topology UpdateCellInfo --root "$TOPO_ROOT/$cell" --server-address "$address" "$cell"
  say "cell $cell is known"
done
