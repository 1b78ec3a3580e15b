# A tablet is ready when it is well, whether its shard serves yet or not: new shards do not until traffic is switched to them.
. /vt/scripts/common.sh
address=$BIND_ADDRESS
[ "$address" = 0.0.0.0 ] && address=127.0.0.1
[ "$address" = "::" ] && address=::1
exec 3<>"/dev/tcp/$address/15002"
printf 'GET /debug/status_details HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
answer=$(cat <&3)
# Not its state: the replicas of a shard whose traffic has been switched away do not serve, and are well.
[[ $answer =~ \"Key\":\"Health\",\"Class\":\"(healthy|unhappy)\" ]] || { echo "$answer"; exit 1; }
