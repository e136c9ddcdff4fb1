# shellcheck shell=bash
# Sourced by scripts/demo, scripts/test and scripts/package: finds Swift, and installs the Debian packages that are missing.

# What the build links; what unit tests compare with; and what the lab runs.
link_packages=(libmnl-dev libnftnl-dev libyaml-dev libsodium-dev)
build_packages=("${link_packages[@]}" minisign etcd-server etcd-client openssl)
lab_packages=(rpcbind nfs-ganesha nfs-ganesha-vfs libnfs-utils nfs-common nftables conntrack iproute2 tcpdump procps nmap
    fail2ban logrotate curl tmux prometheus)
# The other firewalls of docs/COEXISTENCE.md, each run in a namespace of the lab only.
firewall_packages=(iptables firewalld ufw dbus)
# The package, and the machine that it is tested on.
package_packages=(dpkg-dev lintian debootstrap rpm openssl)
# What scripts/release makes both packages with.
release_packages=(dpkg-dev rpm)
# What reads the manual pages, the JSON Schemas, the completions and reports: Tests/ReferenceTests.
reference_packages=(mandoc man-db python3 python3-jsonschema python3-yaml zsh fish jq chromium poppler-utils)
# The services of docs/COOKBOOK.md, and the machine that README's commands run on.
document_packages=(nfs-kernel-server ypserv ypbind-mt yp-tools keepalived conntrackd debootstrap)

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

step() {
    printf '\n\033[1m== %s\033[0m\n' "$*"
}

# sudo's PATH often lacks the toolchain of the user who called it.
find_swift() {
    local home candidate
    home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
    for candidate in "$(command -v swift || true)" /opt/swift/usr/bin/swift /usr/local/swift/usr/bin/swift \
        "$home/.local/share/swiftly/bin/swift" /usr/bin/swift; do
        if [[ -n $candidate && -x $candidate ]]; then
            PATH="$(dirname "$candidate"):$PATH"
            export PATH
            return
        fi
    done
    fail "no Swift toolchain found; install Swift 6.1 or later from swift.org, and put it on PATH or in /opt/swift"
}

missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || printf '%s ' "$package"
    done
}

# Installs without starting a service: rpcbind must not appear on this host's port 111.
install_packages() {
    local missing policy=/usr/sbin/policy-rc.d made=
    read -ra missing < <(missing_packages "$@"; echo)
    ((${#missing[@]})) || return 0
    [[ $EUID -eq 0 ]] || fail "missing packages: ${missing[*]}; install them, or run this with sudo"
    step "installing ${missing[*]}"
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=yes
    fi
    local status=0
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        >/tmp/rpcwarden-apt.log 2>&1 || status=$?
    [[ -z $made ]] || rm -f "$policy"
    ((status == 0)) || fail "apt-get failed; see /tmp/rpcwarden-apt.log"
    # Their packages enable them, and from the next boot on they would guard this host. (ufw is inactive until it is told.)
    local pair
    for pair in firewalld:firewalld fail2ban:fail2ban nfs-kernel-server:nfs-server ypserv:ypserv ypserv:yppasswdd \
        ypserv:ypxfrd ypbind-mt:ypbind keepalived:keepalived conntrackd:conntrackd prometheus:prometheus etcd-server:etcd; do
        if [[ " ${missing[*]} " == *" ${pair%:*} "* ]] && type -P systemctl >/dev/null; then
            systemctl disable --quiet "${pair#*:}.service"
        fi
    done
}
