# One member of an etcd: of a new one, of one that has grown, or in the place of a member whose data is gone.
. /vt/scripts/common.sh
index=${POD_NAME##*-}
own=http://$POD_NAME.$ETCD_CLUSTER:2380
data=/vt/etcd/data
state=new
cluster=
for ((i = 0; i < ETCD_MEMBERS; i++)); do cluster+=${cluster:+,}$ETCD_CLUSTER-$i=http://$ETCD_CLUSTER-$i.$ETCD_CLUSTER:2380; done
others() { timeout 10 etcdctl --endpoints "http://$ETCD_CLUSTER-client:2379" "$@"; }

if [ ! -d $data/member ] && members=$(others member list 2>/dev/null); then
  # Lines: id, status, name, peers, clients, learner. A member that was never here has no name yet.
  mine=$(grep -F "$own," <<<"$members" || true)
  if [ -z "$mine" ]; then
    others member add "$POD_NAME" --peer-urls "$own"
    state=existing
  elif [ -n "$(cut -d, -f3 <<<"$mine" | tr -d ' ')" ]; then
    say "the data of $POD_NAME is gone: it joins anew"
    others member remove "${mine%%,*}"
    others member add "$POD_NAME" --peer-urls "$own"
    state=existing
  fi
  if [ $state = existing ]; then
    cluster=$(others member list | awk -F', ' -v own="$own" -v name="$POD_NAME" \
      '{printf "%s%s=%s", NR > 1 ? "," : "", $4 == own ? name : $3, $4}')
  fi
fi
say "member $index of $ETCD_CLUSTER ($state): $cluster"
listen=$BIND_ADDRESS
[[ $listen == *:* ]] && listen="[$listen]"
exec etcd --name "$POD_NAME" --data-dir $data --listen-client-urls "http://$listen:2379" --listen-peer-urls "http://$listen:2380" \
  --advertise-client-urls "http://$POD_NAME.$ETCD_CLUSTER:2379" --initial-advertise-peer-urls "$own" --initial-cluster "$cluster" \
  --initial-cluster-state $state --initial-cluster-token "$ETCD_CLUSTER" --auto-compaction-mode periodic --auto-compaction-retention 1h
