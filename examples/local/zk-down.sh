#!/usr/bin/env bash
# Stops the ZooKeeper servers; their data stays.
source "$(dirname "$0")/env.sh"
for n in 3 2 1; do
  echo "Stopping ZooKeeper server $n..."
  stop "zk-$n"
done
