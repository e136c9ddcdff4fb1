# Stands in for systemctl in a furnished host of the lab, where a document's commands run as they stand though nothing
# runs systemd: it starts the real daemons as their units do, and refuses what it doesn't know.
set -eu

fail() {
  printf 'systemctl of the lab: %s\n' "$*" >&2
  exit 1
}

start() {  # start NAME COMMAND…
  name=$LAB_HOST-$1
  shift
  perl "$LAB_HELPERS/detach.pl" "$LAB_STATE/$name.log" "$LAB_STATE/$name.pid" "$@"
}

stop() {
  file=$LAB_STATE/$LAB_HOST-$1.pid
  [ -e "$file" ] || return 0
  pid=$(cat "$file")
  rm -f "$file"
  kill "$pid" 2>/dev/null || return 0
  tries=250
  while kill -0 "$pid" 2>/dev/null; do
    [ $tries -gt 0 ] || kill -s KILL "$pid"
    tries=$((tries - 1))
    sleep 0.02
  done
}

await() {  # await SECONDS COMMAND…
  tries=$(($1 * 20))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $tries -gt 0 ] || { tail -n 5 "$LAB_STATE/$LAB_HOST-$unit.log" >&2; fail "$unit is not ready: $*"; }
    tries=$((tries - 1))
    sleep 0.05
  done
}

services() {  # services UNIT PROGRAM:VERSION…
  name=$LAB_HOST-$1
  shift
  perl "$LAB_HELPERS/await-rpc.pl" 30 "$(cat "$LAB_STATE/$name.pid")" "$@" ||
    { cat "$LAB_STATE/$name.log" >&2; fail "$name did not start"; }
}

start_unit() {
  case $unit in
    rpcbind)
      if [ -e /etc/systemd/system/rpcbind.service.d/rpcwarden.conf ]; then
        start "$unit" unshare --net rpcbind -f -w
      else
        start "$unit" rpcbind -f -w
      fi
      services "$unit"
      ;;
    rpcwarden)
      start "$unit" /usr/sbin/rpcwarden serve
      await 10 /usr/sbin/rpcwarden status
      ;;
    nfs-ganesha)
      start "$unit" ganesha.nfsd -F -f /etc/ganesha/ganesha.conf -L "$LAB_STATE/$LAB_HOST-ganesha.log" \
        -p /run/ganesha/ganesha.pid
      services "$unit" 100003:3 100005:3 100021:4
      ;;
    rpcwarden-fleet)
      start "$unit" env STATE_DIRECTORY=/var/lib/rpcwarden-fleet /usr/sbin/rpcwarden-fleet serve
      await 10 /usr/sbin/rpcwarden-fleet status
      ;;
    etcd)
      set -a
      ETCD_DATA_DIR=/var/lib/etcd/default
      . /etc/default/etcd
      set +a
      start "$unit" setpriv --reuid etcd --regid etcd --clear-groups etcd
      # The first member of several waits for another.
      [ -n "${ETCD_INITIAL_CLUSTER-}" ] ||
        await 20 curl -sf --cacert "${ETCD_CERT_FILE%/*}/ca.pem" "$ETCD_ADVERTISE_CLIENT_URLS/health"
      ;;
    # The kernel that tests has no nfsd. What runs outside of it is real.
    nfs-mountd)
      exportfs -r
      start "$unit" rpc.mountd -F
      services "$unit" 100005:3
      ;;
    rpc-statd)
      start "$unit" rpc.statd --foreground --no-syslog --no-notify
      services "$unit" 100024:1
      ;;
    ypserv)
      domainname -F /etc/defaultdomain
      start "$unit" ypserv -f
      services "$unit" 100004:2
      ;;
    ypbind)
      domainname -F /etc/defaultdomain
      start "$unit" ypbind -foreground
      ;;
    conntrackd)
      start "$unit" conntrackd -C /etc/conntrackd/conntrackd.conf
      await 10 conntrackd -C /etc/conntrackd/conntrackd.conf -s
      ;;
    keepalived)
      start "$unit" keepalived -n -l -p /run/keepalived.pid -r /run/vrrp.pid
      ;;
    *) fail "no unit $unit" ;;
  esac
}

action=${1-}
shift
[ "${1-}" != --now ] || shift
# The lab has no socket unit, which would start it.
case "$action $* " in
  stop*" rpcwarden.socket "*) ;;
  stop*" rpcwarden "* | stop*" rpcwarden.service "*) fail "rpcwarden.socket starts it again at the next call; stop both" ;;
esac
for unit; do
  unit=${unit%.service}
  unit=${unit%.socket}
  case $action in
    start | enable) start_unit ;;
    stop | disable) stop "$unit" ;;
    restart)
      stop "$unit"
      start_unit
      ;;
    daemon-reload) ;;
    *) fail "no action $action" ;;
  esac
done
