#!/usr/bin/env bash
# usage: ./kvtctld.sh
#
# Opens the pages of vtctld in a browser; prints their address where there is none. Variable: NAMESPACE (the current one).
set -euo pipefail

kube() { kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} "$@"; }
field() { kube get service vtctld --output "jsonpath=$1"; }

show() {
  echo "$1"
  local opener
  for opener in xdg-open open; do
    if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v $opener >/dev/null; then
      $opener "$1" || true
      return
    fi
  done
}

case $(field '{.spec.type}') in
  NodePort)
    host=$(kubectl get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
    show "http://$host:$(field '{.spec.ports[?(@.name=="web")].nodePort}')/"
    ;;
  LoadBalancer)
    show "http://$(field '{.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}'):15000/"
    ;;
  *)
    show "http://127.0.0.1:15000/"
    echo "until Ctrl-C"
    exec kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} port-forward service/vtctld 15000:15000
    ;;
esac
