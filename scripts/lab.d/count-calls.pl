# count-calls.pl SOCKET: stands between rpcwarden and rpcbind: hands on what comes to SOCKET to /run/rpcbind.sock, and back,
# and prints a line for each call: "VERSION PROCEDURE".
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use Socket;

my ($path) = @ARGV;
my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 16) or die "count-calls: $path: $!\n";
chmod(0666, $path) or die "count-calls: $path: $!\n";
$SIG{CHLD} = 'IGNORE';
$| = 1;

sub hand_on {
    my ($to, $bytes) = @_;
    while ($bytes ne '') {
        my $count = syswrite($to, $bytes) // exit;
        substr($bytes, 0, $count) = '';
    }
}

while (my $client = $listener->accept) {
    next if fork;
    my $server = IO::Socket::UNIX->new(Peer => '/run/rpcbind.sock') or exit;
    my $both = IO::Select->new($client, $server);
    my $calls = '';
    while (1) {
        for my $from ($both->can_read) {
            sysread($from, my $bytes, 65536) or exit;
            hand_on($from == $client ? $server : $client, $bytes);
            next unless $from == $client;
            $calls .= $bytes;
            while (length($calls) >= 28) {
                my ($mark, $version, $procedure) = (unpack('N7', $calls))[0, 5, 6];
                my $length = 4 + ($mark & 0x7fffffff);
                last if length($calls) < $length;
                print "$version $procedure\n";
                substr($calls, 0, $length) = '';
            }
        }
    }
}
