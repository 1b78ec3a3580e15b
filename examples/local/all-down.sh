#!/usr/bin/env bash
# Stops everything that the scripts here have started; data stays.
source "$(dirname "$0")/env.sh"
for file in "$VTDATAROOT"/tmp/*.pid; do
  name=$(basename "$file" .pid)
  case $name in '*' | zk-* | etcd) continue ;; esac
  if is_running "$name"; then stop "$name"; fi
done
for dir in "$VTDATAROOT"/vt_*; do
  if [ -e "$dir/mysql.pid" ]; then
    uid=$((10#${dir##*vt_}))
    mysqlctl -tablet_uid $uid -mysql_port "$(port $((17000 + uid)))" shutdown >/dev/null 2>&1 || echo "MySQL of tablet $uid does not stop"
  fi
done
for name in zk-3 zk-2 zk-1 etcd; do
  if is_running "$name"; then stop "$name"; fi
done
