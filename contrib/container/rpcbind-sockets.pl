# rpcbind-sockets.pl COMMAND…: executes COMMAND (rpcbind) with the five sockets that rpcwarden's drop-in for rpcbind.socket
# passes, where no systemd does: in a container, in the lab. systemd-socket-activate can't: it mixes no stream with
# datagram sockets.
use strict;
use warnings;
use Fcntl qw(F_DUPFD);
use POSIX ();
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 IPPROTO_IPV6 IPV6_V6ONLY);

my $path = '/run/rpcbind.sock';
my $port = 1111;

sub make {
    my ($name, $family, $type, $address) = @_;
    socket(my $socket, $family, $type, 0) or die "rpcbind-sockets: cannot make a socket: $name: $!; check the kernel\n";
    if ($type == SOCK_STREAM) {
        setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    if ($family == AF_INET6) {
        setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 1) or die "rpcbind-sockets: cannot set v6only: $name: $!; check the kernel\n";
    }
    bind($socket, $address) or die "rpcbind-sockets: cannot bind: $name: $!; stop what holds it\n";
    if ($type == SOCK_STREAM) {
        listen($socket, SOMAXCONN) or die "rpcbind-sockets: cannot listen: $name: $!; stop what holds it\n";
    }
    return $socket;
}

unlink($path);
my $v4 = pack_sockaddr_in($port, INADDR_LOOPBACK);
my $v6 = pack_sockaddr_in6($port, inet_pton(AF_INET6, '::1'));
my @sockets = (
    make($path, AF_UNIX, SOCK_STREAM, pack_sockaddr_un($path)),
    make("127.0.0.1:$port tcp", AF_INET, SOCK_STREAM, $v4),
    make("127.0.0.1:$port udp", AF_INET, SOCK_DGRAM, $v4),
    make("[::1]:$port tcp", AF_INET6, SOCK_STREAM, $v6),
    make("[::1]:$port udp", AF_INET6, SOCK_DGRAM, $v6),
);
chmod(0666, $path) or die "rpcbind-sockets: cannot chmod: $path: $!; check the mount\n";

# They must become 3 to 7, where some of them, or perl's own, may be now.
my @high = map { fcntl($_, F_DUPFD, 64) // die "rpcbind-sockets: cannot duplicate a socket: $!; raise ulimit -n\n" } @sockets;
for my $index (0 .. $#high) {
    POSIX::dup2($high[$index], 3 + $index) // die "rpcbind-sockets: cannot duplicate a socket: $!; raise ulimit -n\n";
    POSIX::close($high[$index]);
}
$ENV{LISTEN_FDS} = scalar @sockets;
$ENV{LISTEN_PID} = $$;
exec { $ARGV[0] } @ARGV or die "rpcbind-sockets: cannot start: $ARGV[0]: $!; install it\n";
