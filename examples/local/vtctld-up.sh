#!/usr/bin/env bash
# vtctld: commands, web pages, the workflow manager.
source "$(dirname "$0")/env.sh"
echo "Starting vtctld..."
launch vtctld "$vtctld_web" vtctld "${topology_flags[@]}" -cell "$CELL" -workflow_manager_init \
  -port "$vtctld_web" -grpc_port "${vtctld_grpc##*:}" -bind_address 127.0.0.1 -grpc_bind_address 127.0.0.1 \
  -backup_storage_implementation file -file_backup_storage_root "$VTDATAROOT/backups"
echo "Access vtctld web UI at http://localhost:$vtctld_web"
echo "Send commands with: vtctlclient -server $vtctld_grpc ..."
