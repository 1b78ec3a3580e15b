# Saves a keyspace's VSchema, once there is the keyspace.
. /vt/scripts/common.sh
FLAGS=("$@")

wait_for "keyspace $KEYSPACE" ctl GetKeyspace "$KEYSPACE"
ctl ApplyVSchema --vschema-file /vt/files/vschema.json "$KEYSPACE"
