# version-2.pl ADDRESS PORT: a portmapper that speaks version 2 only, over TCP, as old systems have it: hands calls of
# version 2 on to the rpcbind of its host, and refuses the others with PROG_MISMATCH, 2 to 2.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;

my ($address, $port) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Listen => 16, ReuseAddr => 1)
    or die "version-2: $address:$port: $!\n";
$SIG{CHLD} = 'IGNORE';
$| = 1;
print "listening\n";

sub hand_on {
    my ($to, $bytes) = @_;
    while ($bytes ne '') {
        my $count = syswrite($to, $bytes) // exit;
        substr($bytes, 0, $count) = '';
    }
}

while (my $client = $listener->accept) {
    next if fork;
    my $rpcbind = IO::Socket::UNIX->new(Peer => '/run/rpcbind.sock') or exit;
    my $both = IO::Select->new($client, $rpcbind);
    my $calls = '';
    while (1) {
        for my $from ($both->can_read) {
            sysread($from, my $bytes, 65536) or exit;
            if ($from == $rpcbind) { hand_on($client, $bytes); next }
            $calls .= $bytes;
            while (length($calls) >= 4) {
                my $length = 4 + (unpack('N', $calls) & 0x7fffffff);
                last if length($calls) < $length;
                my $call = substr($calls, 0, $length, '');
                my ($xid, $version, $procedure) = (unpack('N7', $call))[1, 5, 6];
                print "$version $procedure\n";
                # RFC 5531, 9: REPLY, MSG_ACCEPTED, AUTH_NONE, PROG_MISMATCH.
                if ($version == 2) { hand_on($rpcbind, $call) }
                else { hand_on($client, pack('N9', 0x80000020, $xid, 1, 0, 0, 0, 2, 2, 2)) }
            }
        }
    }
}
