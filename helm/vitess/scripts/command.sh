# A job of jobs[], once vtctld answers. Its command is text of a shell: quotes mean what they mean there.
. /vt/scripts/common.sh
FLAGS=("$@")

wait_for "vtctld" ctl GetCellInfoNames
if [ "$CLIENT" = shell ]; then
  # With what common.sh has: ctl, wait_for, primary_of ...
  eval "$COMMAND"
  exit
fi
flags=$([ $# -eq 0 ] || printf ' %q' "$@")
say "$CLIENT $COMMAND"
eval "exec $CLIENT --server $VTCTLD$flags $COMMAND"
