#!/usr/bin/env bash
# Three ZooKeeper servers, which are the topology, and the record of the cell.
TOPOLOGY=zk2
source "$(dirname "$0")/env.sh"

quorum=""
for n in 1 2 3; do
  quorum+="server.$n=localhost:$(port $((28880 + n))):$(port $((38880 + n)))"$'\n'
done
for n in 1 2 3; do
  dir=$VTDATAROOT/$(printf 'zk_%03d' $n)
  mkdir -p "$dir/data"
  echo $n >"$dir/data/myid"
  cat >"$dir/zoo.cfg" <<CONFIG
tickTime=2000
initLimit=10
syncLimit=5
dataDir=$dir/data
clientPort=${zk_ports[n - 1]}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=ruok,srvr
$quorum
CONFIG
  echo "Starting ZooKeeper server $n on port ${zk_ports[n - 1]}..."
  launch "zk-$n" "${zk_ports[n - 1]}" java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/usr/share/java/*' \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg"
done
add_cell
echo "Started ZooKeeper servers; cell $CELL is known."
