#!/usr/bin/env bash
# A vtworker that waits for jobs.
source "$(dirname "$0")/env.sh"
echo "Starting vtworker..."
launch vtworker "$vtworker_grpc" vtworker "${topology_flags[@]}" -cell "$CELL" -command_display_interval 10s \
  -port "$vtworker_web" -grpc_port "$vtworker_grpc" -bind_address 127.0.0.1 -grpc_bind_address 127.0.0.1
echo "Access vtworker at http://localhost:$vtworker_web/Debugging"
