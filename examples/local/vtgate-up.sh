#!/usr/bin/env bash
# vtgate: what applications connect to.
source "$(dirname "$0")/env.sh"
echo "Starting vtgate..."
launch vtgate "$vtgate_mysql" vtgate "${topology_flags[@]}" -cell "$CELL" -cells_to_watch "$CELL" \
  -tablet_types_to_wait MASTER,REPLICA -port "$vtgate_web" -grpc_port "$vtgate_grpc" -mysql_server_port "$vtgate_mysql" \
  -mysql_server_socket_path "$VTDATAROOT/tmp/vtgate.sock" -mysql_auth_server_impl none -bind_address 127.0.0.1 \
  -grpc_bind_address 127.0.0.1
echo "Access vtgate at http://localhost:$vtgate_web/debug/status; mysql --host 127.0.0.1 --port $vtgate_mysql"
