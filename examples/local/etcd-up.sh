#!/usr/bin/env bash
# One etcd server, which is the topology, and the record of the cell. The other scripts need TOPOLOGY=etcd2 then.
TOPOLOGY=etcd2
source "$(dirname "$0")/env.sh"

echo "Starting etcd on port $(port 2379)..."
launch etcd "$(port 2379)" etcd --data-dir "$VTDATAROOT/etcd" --listen-client-urls "$topology_address" \
  --advertise-client-urls "$topology_address" --listen-peer-urls "http://localhost:$(port 2380)" \
  --initial-advertise-peer-urls "http://localhost:$(port 2380)" --initial-cluster "default=http://localhost:$(port 2380)"
add_cell
echo "Started etcd; cell $CELL is known."
