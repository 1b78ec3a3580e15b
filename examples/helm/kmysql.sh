#!/usr/bin/env bash
# usage: ./kmysql.sh [ARGUMENTS OF THE MYSQL CLIENT]
#
# A MySQL client connected to the vtgates of a cell in Kubernetes. Variables: CELL (zone1), NAMESPACE (the current one), and VTGATE_HOST with
# VTGATE_PORT (3306) for a vtgate that is reached without Kubernetes.
set -euo pipefail

service=vtgate-${CELL:-zone1}
# Output comes as it is made, in one order with what the client's `\!` commands print.
client=(mysql --unbuffered)
command -v mysql >/dev/null || client=(mariadb --unbuffered)
kube() { kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} "$@"; }
field() { kube get service "$service" --output "jsonpath=$1"; }

if [ -n "${VTGATE_HOST:-}" ]; then
  exec "${client[@]}" -h "$VTGATE_HOST" -P "${VTGATE_PORT:-3306}" "$@"
fi
case $(field '{.spec.type}') in
  NodePort)
    host=$(kubectl get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
    exec "${client[@]}" -h "$host" -P "$(field '{.spec.ports[?(@.name=="mysql")].nodePort}')" "$@"
    ;;
  LoadBalancer)
    host=$(field '{.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}')
    [ -n "$host" ] || { echo "kmysql.sh: service $service has no address of its own yet" >&2; exit 1; }
    exec "${client[@]}" -h "$host" -P 3306 "$@"
    ;;
esac
# Inside the cluster only: through a forwarded port.
coproc FORWARD { exec kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} port-forward "service/$service" :3306; }
forward=$FORWARD_PID
trap 'kill "$forward" 2>/dev/null' EXIT
if ! IFS= read -r line <&"${FORWARD[0]}"; then
  echo "kmysql.sh: kubectl could not forward a port to service $service" >&2
  exit 1
fi
port=${line#*:}
"${client[@]}" -h 127.0.0.1 -P "${port%% *}" "$@" <&0
