# shellcheck shell=bash
# Sourced by scripts/kernels: what is tried on each kernel, in order. A check's last words are the command.

# In a session of its own, without the shell's output: the shell waits for the end of its children's.
apart='setsid nohup'

prepare_server() {
    server "
        mkdir -p /disk/etc/policy.d /etc/rpcwarden /var/log/rpcwarden
        cat >/disk/etc/rpcwarden.yaml <<'EOF'
mode: enforce
audit: {to: file, file: /var/log/rpcwarden/audit.jsonl}
firewall: {keep: 5s}
EOF
        cat >/disk/etc/policy.d/nfs.yaml <<'EOF'
clients:
  workstations: [10.77.0.2]
rules:
  - {name: workstations use NFS, from: [workstations], to: [nfs], open: always}
  - {name: workstations mount and lock, from: [workstations], to: [mountd, nlockmgr, status, rquotad], list: true}
EOF
        cp -a /disk/etc/. /etc/rpcwarden/
        chown rpcwarden:rpcwarden /var/log/rpcwarden /var/lib/rpcwarden
        rpcwarden check
        cat >/disk/boot <<'EOF'
mkdir -p /var/log/rpcwarden
chown rpcwarden:rpcwarden /var/log/rpcwarden
STATE_DIRECTORY=/var/lib/rpcwarden rpcwarden guard load
EOF
        for each in v3 v4 lock; do echo hello >/disk/export/\$each; done"
}

# start_rpcbind [WRAPPER]: in an empty network, unless without a wrapper.
start_rpcbind() {
    server "$apart ${1-unshare --net} rpcbind -w -f >/run/rpcbind.log 2>&1 </dev/null & sleep 1; test -S /run/rpcbind.sock"
}

# start_nfs GRACE: so many seconds may clients reclaim their locks, and take none.
start_nfs() {
    server "
        echo $1 >/proc/sys/fs/nfs/nlm_grace_period
        exportfs -ra
        rpc.mountd --port 20048
        rpc.nfsd --grace-time $1 --lease-time 10 4"
}

# Tells the clients of a reboot.
start_statd() { server "rpc.statd"; }

start_daemon() {
    server "STATE_DIRECTORY=/var/lib/rpcwarden $apart rpcwarden serve >>/run/rpcwarden.log 2>&1 </dev/null &"
    (await "the daemon of $version is ready" server "rpcwarden registry | grep -q mountd") || {
        server "tail -n 20 /run/rpcwarden.log" >&2
        exit 1
    }
}

# Whether a connection from a machine gets no answer at all.
is_silent() {
    local from=$1 port=$2
    "$from" "timeout 2 bash -c '</dev/tcp/10.77.0.1/$port'; test \$? = 124"
}
refuses() { "$1" "timeout 2 bash -c '</dev/tcp/10.77.0.1/$2'; test \$? = 1"; }
# Of lockd at the server, over TCP.
lock_port() { client "rpcinfo -p 10.77.0.1" | awk '$3 == "tcp" && $5 == "nlockmgr" { print $4; exit }'; }

is_locked() { server "lock --test /disk/export/$1; test \$? = 1"; }
audited() { server "grep -q '\"event\":\"$1\"' /var/log/rpcwarden/audit.jsonl"; }

locks_again() {
    client "ss -HK dst 10.77.0.1 dport = :$(lock_port); timeout 60 lock --wait /mnt/v3"
}

survives_flush() {
    server "nft flush ruleset; sleep 1.5; nft list table inet rpcwarden >/dev/null" && is_silent stranger 20048
}

is_a_stranger() {
    stranger "! timeout 5 rpcinfo -p 10.77.0.1" && is_silent stranger 2049 && is_silent stranger 20048
}

revoked() {
    server "rpcwarden revoke --client 10.77.0.2" && is_silent client 20048 && client "timeout 20 ls /mnt"
}

# Without a warning to anybody, but for what is on the disk.
reboot_server() {
    server "sleep 8; sync; (sleep 1; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &"
    wait "${processes[server]}" || true
    rm -f "$folder/wire1"
    boot server 1
    await "the server of $version is up again" server "test -e /run/boot.log"
}

story() {
    local old
    await "the server of $version is up" server true
    await "the client of $version is up" client true
    tell "kernel" "$(server "uname -r")"
    prepare_server >&2
    start_rpcbind
    client "rpcbind -w; rpc.statd"
    start_nfs 10
    start_statd
    start_daemon
    tell "table" "$(server "nft list table inet rpcwarden" | sed -n '2,3s/^\tflags //p' | grep . || echo "not owned")"
    tell "Landlock" "$(server "grep -i landlock /run/rpcwarden.log" | head -n 1 | cut -c1-80 | grep . || echo yes)"

    check "a stranger gets nothing: no list, no NFS, no mountd" is_a_stranger
    check "mount with NFSv3, read, write" \
        client "timeout 60 mount -t nfs -o vers=3 10.77.0.1:/disk/export /mnt && grep -q hello /mnt/v3 && echo more >>/mnt/v3"
    check "mount with NFSv4" client "mkdir -p /mnt4; timeout 60 mount -t nfs -o vers=4 10.77.0.1:/disk/export /mnt4 && grep -q hello /mnt4/v4"
    client "$apart lock /mnt/lock 100000 >/run/lock.log 2>&1 </dev/null & echo \$! >/run/lock.pid; sleep 3"
    check "a lock of the client holds at the server" is_locked lock
    check "nobody else has the file that it will wait for" server "lock --test /disk/export/v3"
    server "$apart lock /disk/export/v3 8 >/dev/null 2>&1 </dev/null & sleep 1"
    tell "a waiting lock is granted, which waits for about 7 s" "$(client "timeout 60 lock --wait /mnt/v3" 2>&1 || echo never)"
    check "idle for longer than keep: a grant ends" server "sleep 9; ! rpcwarden grants | grep -q mountd"
    check "the client, whose connection was lost, locks again" locks_again
    tell "what let it" "$(server "grep -c '\"detail\":\"revived\"' /var/log/rpcwarden/audit.jsonl | sed 's/^0$/a look-up/; s/^[1-9].*/its packet revived the grant/'")"
    check "revoke: the client's port is shut, NFS's standing one is not" revoked
    check "another look-up opens the port again" client "timeout 20 showmount -e 10.77.0.1 && timeout 5 bash -c '</dev/tcp/10.77.0.1/20048'"
    check "nft flush ruleset: the stranger gets nothing" survives_flush
    tell "what the flush did" "$(audited tampered >/dev/null && echo "the table was made anew" || echo "nothing: the table is owned")"

    check "the client's lock still holds" is_locked lock
    old=$(lock_port)
    reboot_server
    start_rpcbind
    start_nfs 60
    check "guard load: shut before the daemon runs" is_a_stranger
    start_daemon
    start_statd
    tell "lockd's port before and after the boot" "$old, $(lock_port)"
    check "lockd's port of before is refused" refuses client "$old"
    check "the client's lock is reclaimed, its mount goes on" await "a reclaimed lock" is_locked lock
    check "the client's file is read" client "timeout 60 grep -q hello /mnt/v3"
    check "a stranger gets nothing after the boot" is_a_stranger
    # A lock can't be given back before the grace period is over, and its process waits for that.
    check "unmount" client "pid=\$(cat /run/lock.pid); kill \$pid; for each in \$(seq 90); do kill -0 \$pid 2>/dev/null || break; sleep 1; done; timeout 60 umount /mnt && timeout 60 umount /mnt4"
}

# The same locks with rpcbind alone.
control() {
    await "the server of $version is up" server true
    await "the client of $version is up" client true
    tell "kernel" "$(server "uname -r")"
    server "echo true >/disk/boot; for each in v3 lock; do echo hello >/disk/export/\$each; done"
    start_rpcbind ""
    client "rpcbind -w; rpc.statd"
    start_nfs 10
    start_statd
    check "mount with NFSv3" client "timeout 60 mount -t nfs -o vers=3 10.77.0.1:/disk/export /mnt"
    client "$apart lock /mnt/lock 100000 >/run/lock.log 2>&1 </dev/null & sleep 1"
    # lockd takes no new lock in its first ten seconds, and the client asks again only now and then.
    check "a lock of the client holds at the server" await "a lock" is_locked lock
    check "nobody else has the file that it will wait for" server "lock --test /disk/export/v3"
    server "$apart lock /disk/export/v3 8 >/dev/null 2>&1 </dev/null & sleep 1"
    tell "a waiting lock is granted, which waits for about 7 s" "$(client "timeout 60 lock --wait /mnt/v3" 2>&1 || echo never)"
    reboot_server
    start_rpcbind ""
    start_nfs 60
    start_statd
    check "the client's lock is reclaimed" await "a reclaimed lock" is_locked lock
}
