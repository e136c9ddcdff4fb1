# journal-socket.pl PATH GO: holds PATH as systemd-journald does, and reads nothing until the file GO exists;
# then prints each datagram as a line of hexadecimal digits.
use strict;
use warnings;
use Socket;

my ($path, $go) = @ARGV;
die "usage: journal-socket.pl PATH GO\n" unless defined $go;
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!\n";
bind($socket, sockaddr_un($path)) or die "$path: $!\n";
# Like the journal's own: every user may write to it.
chmod(0666, $path) or die "$path: $!\n";
$| = 1;
print "bound\n";
select(undef, undef, undef, 0.02) until -e $go;
while (defined recv($socket, my $datagram, 65536, 0)) {
    print unpack('H*', $datagram), "\n";
}
