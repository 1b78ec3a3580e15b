# What the scripts here share. Variables that may be set before:
#   VITRAIL_BIN  folder of the programs; without it ../../build/bin, or what PATH has
#   VTDATAROOT   folder of data, logs and pid files; without it ~/vtdataroot
#   TOPOLOGY     zk2 (ZooKeeper, zk-up.sh) or etcd2 (etcd-up.sh)
#   PORT_SHIFT   added to every port, so that a second cluster fits on the machine
#   TABLETS      types of the tablets of a shard, in the order of their uids
# shellcheck shell=bash

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CELL=${CELL:-test}
KEYSPACE=${KEYSPACE:-test_keyspace}
TOPOLOGY=${TOPOLOGY:-zk2}
PORT_SHIFT=${PORT_SHIFT:-0}
TABLETS=${TABLETS:-replica replica replica rdonly rdonly}
export VTDATAROOT=${VTDATAROOT:-$HOME/vtdataroot}
mkdir -p "$VTDATAROOT/tmp" "$VTDATAROOT/backups"

if [ -z "${VITRAIL_BIN:-}" ] && [ -x "$here/../../build/bin/vtctld" ]; then VITRAIL_BIN=$here/../../build/bin; fi
if [ -n "${VITRAIL_BIN:-}" ]; then PATH=$VITRAIL_BIN:$PATH; fi

port() { echo $(($1 + PORT_SHIFT)); }

zk_ports=("$(port 21811)" "$(port 21812)" "$(port 21813)")
if [ "$TOPOLOGY" = etcd2 ]; then
  topology_address=http://localhost:$(port 2379)
else
  topology_address=localhost:${zk_ports[0]},localhost:${zk_ports[1]},localhost:${zk_ports[2]}
fi
topology_flags=(-topo_implementation "$TOPOLOGY" -topo_global_server_address "$topology_address"
  -topo_global_root /vitess/global)

vtctld_grpc=localhost:$(port 15999)
vtctld_web=$(port 15000)
vtgate_web=$(port 15001)
vtgate_grpc=$(port 15991)
vtgate_mysql=$(port 15306)
vtworker_web=$(port 15032)
vtworker_grpc=$(port 15033)
guestbook_port=$(port 8080)

pid_file() { echo "$VTDATAROOT/tmp/$1.pid"; }
# lives <process id>: one that has ended and waits for its parent does not.
lives() { kill -0 "$1" 2>/dev/null && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }
is_running() { [ -s "$(pid_file "$1")" ] && lives "$(cat "$(pid_file "$1")")"; }

# launch <name> <port it will listen on> <command ...>: starts it in the background and waits until it listens.
launch() {
  local name=$1 listens=$2
  shift 2
  if is_running "$name"; then
    echo "$name runs already"
    return
  fi
  setsid "$@" >"$VTDATAROOT/tmp/$name.out" 2>&1 </dev/null &
  local pid=$!
  echo $pid >"$(pid_file "$name")"
  local end=$((SECONDS + 60))
  until (exec 3<>"/dev/tcp/127.0.0.1/$listens") 2>/dev/null; do
    if ! lives $pid || [ $SECONDS -ge $end ]; then
      echo "$name does not listen on port $listens; it said:" >&2
      tail -n 20 "$VTDATAROOT/tmp/$name.out" >&2
      exit 1
    fi
    sleep 0.1
  done
}

# stop <name>: asks it to end and waits until it has.
stop() {
  local name=$1
  if ! is_running "$name"; then
    echo "$name does not run"
    rm -f "$(pid_file "$name")"
    return
  fi
  local pid
  pid=$(cat "$(pid_file "$name")")
  kill "$pid"
  local end=$((SECONDS + 60))
  while lives "$pid"; do
    if [ $SECONDS -ge $end ]; then
      echo "$name (process $pid) does not end" >&2
      exit 1
    fi
    sleep 0.1
  done
  rm -f "$(pid_file "$name")"
}

# The cell's record, before there is a vtctld.
add_cell() {
  vtctl "${topology_flags[@]}" AddCellInfo -root "/vitess/$CELL" -server_address "$topology_address" "$CELL" 2>/dev/null ||
    vtctl "${topology_flags[@]}" UpdateCellInfo -root "/vitess/$CELL" -server_address "$topology_address" "$CELL" >/dev/null
}

alias_of() { printf '%s-%010d' "$CELL" "$1"; }

# tablets_up <shard> <first uid>
tablets_up() {
  local shard=$1 first=$2 uid index=0 kind jobs=()
  for kind in $TABLETS; do
    uid=$((first + index))
    index=$((index + 1))
    echo "Starting MySQL for tablet $(alias_of $uid)..."
    if [ -d "$VTDATAROOT/$(printf 'vt_%010d' $uid)" ]; then
      echo "Resuming from existing vttablet dir: $VTDATAROOT/$(printf 'vt_%010d' $uid)"
      mysqlctl -tablet_uid $uid -mysql_port "$(port $((17000 + uid)))" start >"$VTDATAROOT/tmp/mysqlctl-$uid.out" 2>&1 &
    else
      mysqlctl -tablet_uid $uid -mysql_port "$(port $((17000 + uid)))" init >"$VTDATAROOT/tmp/mysqlctl-$uid.out" 2>&1 &
    fi
    jobs+=("$!:$uid")
  done
  local job
  for job in "${jobs[@]}"; do
    if ! wait "${job%%:*}"; then
      cat "$VTDATAROOT/tmp/mysqlctl-${job##*:}.out" >&2
      exit 1
    fi
  done
  index=0
  for kind in $TABLETS; do
    uid=$((first + index))
    index=$((index + 1))
    echo "Starting vttablet for $(alias_of $uid)..."
    launch "vttablet-$uid" "$(port $((15000 + uid)))" vttablet "${topology_flags[@]}" -tablet-path "$(alias_of $uid)" \
      -tablet_hostname localhost -init_keyspace "$KEYSPACE" -init_shard "$shard" -init_tablet_type "$kind" \
      -health_check_interval 5s -port "$(port $((15000 + uid)))" -grpc_port "$(port $((16000 + uid)))" \
      -mysql_data_port "$(port $((18000 + uid)))" -bind_address 127.0.0.1 -grpc_bind_address 127.0.0.1 \
      -backup_storage_implementation file -file_backup_storage_root "$VTDATAROOT/backups" -restore_from_backup
    echo "Access tablet $(alias_of $uid) at http://localhost:$(port $((15000 + uid)))/debug/status"
  done
}

# tablets_down <first uid>: data stays.
tablets_down() {
  local first=$1 uid index=0 kind jobs=() job
  for kind in $TABLETS; do
    uid=$((first + index))
    index=$((index + 1))
    echo "Stopping vttablet for $(alias_of $uid) ($kind)..."
    stop "vttablet-$uid"
    echo "Stopping MySQL for tablet $(alias_of $uid)..."
    mysqlctl -tablet_uid $uid -mysql_port "$(port $((17000 + uid)))" shutdown >"$VTDATAROOT/tmp/mysqlctl-$uid.out" 2>&1 &
    jobs+=("$!:$uid")
  done
  for job in "${jobs[@]}"; do
    if ! wait "${job%%:*}"; then
      cat "$VTDATAROOT/tmp/mysqlctl-${job##*:}.out" >&2
      exit 1
    fi
  done
}
