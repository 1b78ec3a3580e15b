#!/usr/bin/env bash
# A command of vtctlclient on the local cluster: ./lvtctl.sh ListAllTablets test
source "$(dirname "$0")/env.sh"
exec vtctlclient -server "$vtctld_grpc" "$@"
