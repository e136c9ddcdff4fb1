# furnish.sh STATE HOST HELPERS BINARY: runs in a host's mount namespace, and lays folders of its own over what it may
# change, so that the commands of a document run there as they stand, and the host that tests stays as it is.
set -eu

state=$1 host=$2 helpers=$3 binary=$4

over() {
  mkdir -p "$state/$host$1/upper" "$state/$host$1/work"
  mount -n -t overlay lab "$1" -o "lowerdir=$1,upperdir=$state/$host$1/upper,workdir=$state/$host$1/work"
}

# Where the testing host lacks it, recipes would fill its own.
[ -d /var/lib/rpcwarden ] || mkdir -m 0755 /var/lib/rpcwarden
for folder in /etc /usr /var/yp /var/lib/rpcwarden /var/log; do
  [ ! -d "$folder" ] || over "$folder"
done
# etcd's user owns its folder.
[ ! -d /var/lib/etcd ] || mount -n -t tmpfs -o "mode=0700,uid=$(id -u etcd),gid=$(id -g etcd)" lab-etcd /var/lib/etcd
# An NFS server can't export an overlay.
[ ! -d /srv ] || mount -n -t tmpfs -o mode=0755 lab-srv /srv

for program in rpcwarden rpcwarden-fleet; do
  built=${binary%/*}/$program
  [ $program != rpcwarden ] || built=$binary
  [ -e "$built" ] || continue
  : >/usr/sbin/$program
  mount -n --bind "$built" /usr/sbin/$program
done
# The overlay shows what is below the server's own files.
if ! id rpcwarden-fleet >/dev/null 2>&1; then
  echo 'rpcwarden-fleet:x:64990:64990::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
  echo 'rpcwarden-fleet:x:64990:' >>/etc/group
fi
rm -rf /etc/rpcwarden /usr/bin/systemctl
mkdir -p /etc/rpcwarden/policy.d
cat >/usr/bin/systemctl <<SCRIPT
#!/bin/sh
exec env LAB_STATE=$state LAB_HOST=$host LAB_HELPERS=$helpers sh $helpers/systemctl.sh "\$@"
SCRIPT
chmod 755 /usr/bin/systemctl
