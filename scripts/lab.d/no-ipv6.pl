# no-ipv6.pl COMMAND…: executes COMMAND, to which the kernel says that it has no IPv6 (EAFNOSUPPORT), by a seccomp filter.
use strict;
use warnings;
use POSIX ();

my $machine = (POSIX::uname())[4];
my ($prctl, $socket) = $machine eq 'aarch64' ? (167, 198) : (157, 41);
my ($inet6, $lacking) = (10, 97);
my $filter = join '', map { pack('SCCL', @$_) } (
    [0x20, 0, 0, 0],                          # the call's number
    [0x15, 0, 3, $socket],
    [0x20, 0, 0, 16],                         # its first argument: the family
    [0x15, 0, 1, $inet6],
    [0x06, 0, 0, 0x00050000 | $lacking],      # SECCOMP_RET_ERRNO
    [0x06, 0, 0, 0x7fff0000],                 # SECCOMP_RET_ALLOW
);
my $program = pack('Sx![L!]P', length($filter) / 8, $filter);
# PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP with SECCOMP_MODE_FILTER
syscall($prctl, 38, 1, 0, 0, 0) == 0 && syscall($prctl, 22, 2, $program, 0, 0) == 0 or die "no-ipv6: seccomp: $!\n";
exec { $ARGV[0] } @ARGV or die "no-ipv6: cannot start: $ARGV[0]: $!\n";
