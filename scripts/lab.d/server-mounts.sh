# Runs in the server's new mount namespace: gives it a /run and a /var/lib/nfs of its own, then runs its arguments.
set -eu

# -n: without it mount(8) makes a folder in the /run of the host.
mount -n -t tmpfs -o mode=0755,nosuid,nodev lab-run /run
mkdir -m 0755 /run/ganesha /run/rpcwarden /run/lock
install -d -m 0755 -o _rpc -g root /run/rpcbind
# The kernel and libtirpc say /var/run/rpcbind.sock; only where that is /run does it reach rpcbind.
[ /var/run -ef /run ] || mount -n --bind /run /var/run

if [ -d /var/lib/nfs ]; then
  mount -n -t tmpfs -o mode=0755,nosuid,nodev lab-nfs /var/lib/nfs
  mkdir -m 0755 /var/lib/nfs/ganesha
  # rpc.statd becomes the owner of this folder.
  if id statd >/dev/null 2>&1; then
    chown statd /var/lib/nfs
    install -d -m 0700 -o statd -g nogroup /var/lib/nfs/sm /var/lib/nfs/sm.bak
    install -m 0600 -o statd -g nogroup /dev/null /var/lib/nfs/state
  fi
fi

# The user of rpcwarden-fleet, where its package isn't installed.
if ! id rpcwarden-fleet >/dev/null 2>&1; then
  for file in passwd group; do cp "/etc/$file" "/run/$file"; done
  echo 'rpcwarden-fleet:x:64990:64990::/nonexistent:/usr/sbin/nologin' >>/run/passwd
  echo 'rpcwarden-fleet:x:64990:' >>/run/group
  for file in passwd group; do mount -n --bind "/run/$file" "/etc/$file"; done
fi

# What the sidecar fetches, and the daemon reads.
[ -d /var/lib/rpcwarden-fleet ] || mkdir -m 0755 /var/lib/rpcwarden-fleet
owner=$(id -u rpcwarden-fleet)
mount -n -t tmpfs -o "mode=0755,nosuid,nodev,uid=$owner" lab-fleet /var/lib/rpcwarden-fleet

exec "$@"
