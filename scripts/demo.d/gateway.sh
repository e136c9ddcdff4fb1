# shellcheck shell=bash
# Sourced by scripts/demo: the lab's server is a router with rpcwarden, and has no services of its own. Behind it is the
# filer, a stock NFS server without rpcwarden.

filer=10.77.5.2

step "building the lab: a router, a stock NFS server behind it, an approved client, a stranger"
"$lab" up
"$lab" filer
"$lab" filer rpcbind start
"$lab" filer ganesha start
cat >"$state/rpcwarden.yaml" <<YAML
policy: policy.yaml
audit: {to: file, file: $state/audit.log}
gateway:
  servers:
    - {name: filer1, address: [$filer]}
YAML
cat >"$state/policy.yaml" <<'YAML'
clients:
  workstations: [10.77.1.0/24]
rules:
  - name: workstations use NFS
    from: [workstations]
    at: [filer1]
    to: [nfs]
    list: true
    open: always
  - name: workstations mount NFSv3
    from: [workstations]
    at: [filer1]
    to: [mountd, nlockmgr, rquotad]
    list: true
YAML
cat "$state/rpcwarden.yaml" "$state/policy.yaml"

step "the filer as it is, before rpcwarden: a stranger sees everything"
show stranger rpcinfo -p $filer

step "starting rpcwarden on the router"
start_rpcwarden

step "the approved client lists, and reads over NFSv3; the answers come in the filer's name"
show approved rpcinfo -p $filer
show approved showmount -e $filer
show approved nfs-cat nfs://$filer/export/hello.txt

step "the stranger gets nothing"
show stranger rpcinfo -p $filer
show stranger rpcinfo -T udp $filer nfs 3
mountd=$("$lab" exec server -- "$warden" grants --config "$state/rpcwarden.yaml" | grep -om1 'tcp/[0-9]*  *mountd')
port=${mountd//[^0-9]/}
show approved timeout 2 bash -c "exec 3<>/dev/tcp/$filer/$port && echo connected to mountd at $port"
show stranger timeout 2 bash -c "exec 3<>/dev/tcp/$filer/$port && echo connected to mountd at $port"
show stranger timeout 2 bash -c "exec 3<>/dev/tcp/$filer/2049 && echo connected to nfs"

step "the grants, and the kernel's own view of them"
show server "$warden" grants --config "$state/rpcwarden.yaml"
show server nft list set inet rpcwarden granted_at4
show server nft list set inet rpcwarden standing_at4
show server nft list set inet rpcwarden guarded_at4

step "the audit log"
grep -E '"event":"(granted|denied)"' "$state/audit.log" | tail -n 8

if [[ -n $keep ]]; then
    step "the lab is still running"
    cat <<TEXT
  export LAB=$LAB
  ./scripts/lab exec approved -- nfs-ls nfs://$filer/export
  ./scripts/lab exec server -- $warden status --config $state/rpcwarden.yaml
  tail -f $state/audit.log
  ./scripts/lab down        # when you are done
TEXT
fi
