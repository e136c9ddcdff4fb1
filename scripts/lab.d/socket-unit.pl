# socket-unit.pl COMMAND…: holds port 111 as rpcwarden.socket does (tcp and udp, IPv4 and IPv6), and runs COMMAND with
# these sockets; whenever that ends, it is run again. TERM ends both.
use strict;
use warnings;
use Fcntl qw(F_DUPFD);
use POSIX ();
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 IPPROTO_IPV6 IPV6_V6ONLY);

sub make {
    my ($family, $type, $address) = @_;
    socket(my $socket, $family, $type, 0) or die "lab: cannot make a socket: $!\n";
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1) if $type == SOCK_STREAM;
    if ($family == AF_INET6) { setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 1) or die "lab: cannot set v6only: $!\n" }
    bind($socket, $address) or die "lab: cannot bind port 111: $!; stop what holds it\n";
    if ($type == SOCK_STREAM) { listen($socket, SOMAXCONN) or die "lab: cannot listen: $!\n" }
    return fcntl($socket, F_DUPFD, 64) // die "lab: cannot duplicate a socket: $!\n";
}

my ($v4, $v6) = (pack_sockaddr_in(111, INADDR_ANY), pack_sockaddr_in6(111, inet_pton(AF_INET6, '::')));
my @sockets = map { (make(AF_INET, $_, $v4), make(AF_INET6, $_, $v6)) } SOCK_STREAM, SOCK_DGRAM;
my $child = 0;
my $ends = 0;
$SIG{TERM} = sub { $ends = 1; kill('TERM', $child) if $child };

until ($ends) {
    $child = fork() // die "lab: cannot fork: $!\n";
    if ($child == 0) {
        $SIG{TERM} = 'DEFAULT';
        for my $index (0 .. $#sockets) { POSIX::dup2($sockets[$index], 3 + $index) // die "lab: dup2: $!\n" }
        @ENV{qw(LISTEN_FDS LISTEN_PID)} = (scalar @sockets, $$);
        exec { $ARGV[0] } @ARGV or die "lab: cannot start: $ARGV[0]: $!\n";
    }
    1 while waitpid($child, 0) < 0 && $!{EINTR};
}
