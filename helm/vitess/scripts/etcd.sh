# One member of an etcd: of a new one, of one that is growing, or in the place of a member whose data is gone.
. /vt/scripts/common.sh
own=http://$POD_NAME.$ETCD_CLUSTER:2380
data=/vt/etcd/data
state=new

# The others, through those of them that are ready.
others() { timeout 10 etcdctl --endpoints "http://$ETCD_CLUSTER-client:2379" "$@" 2>&1; }
# Lines "<id>, <status>, <name>, <peer address>, ...": the name is empty as long as a member has not started.
members() { others member list | grep '^[0-9a-f]*, '; }
mine() { members | grep -F ", $own,"; }
# etcd takes one new member at a time, and refuses the next until that has started.
join() { mine || others member add "$POD_NAME" --peer-urls "$own"; }

if [ -d $data/member ]; then
  cluster=$POD_NAME=$own  # Not heeded: the data tells.
elif now=$(members); then
  state=existing
  if [ -n "$(mine | cut -d, -f3 | tr -d ' ')" ]; then
    say "the data of $POD_NAME is gone: it joins anew"
    others member remove "$(mine | cut -d, -f1)"
  fi
  wait_for "etcd to take a new member" join
  cluster=$(members | sed -E 's/^[^,]*, [^,]*, [^,]*, (https?:\/\/([^.,]*)[^,]*),.*/\2=\1/' | paste -sd,)
else
  cluster=
  for ((i = 0; i < $(cat /vt/cluster/members); i++)); do
    cluster+=${cluster:+,}$ETCD_CLUSTER-$i=http://$ETCD_CLUSTER-$i.$ETCD_CLUSTER:2380
  done
fi
say "$POD_NAME starts ($state): $cluster"
listen=$BIND_ADDRESS
[[ $listen == *:* ]] && listen="[$listen]"
exec etcd --name "$POD_NAME" --data-dir $data --listen-client-urls "http://$listen:2379" --listen-peer-urls "http://$listen:2380" \
  --advertise-client-urls "http://$POD_NAME.$ETCD_CLUSTER:2379" --initial-advertise-peer-urls "$own" --initial-cluster "$cluster" \
  --initial-cluster-state $state --initial-cluster-token "$ETCD_CLUSTER" --auto-compaction-mode periodic --auto-compaction-retention 1h
