# await-rpc.pl SECONDS PID [PROGRAM:VERSION…]: waits until rpcbind answers on its unix socket and lists every
# PROGRAM:VERSION for udp, tcp, udp6 and tcp6 on ports that are bound. Fails as soon as PID has ended.
# (rpcinfo would do for the list, but waits up to a minute for a silent rpcbind; and a registration alone proves
# nothing: rpcbind keeps those of the dead.)
use strict;
use warnings;
use Socket;

my ($seconds, $pid, @services) = @ARGV;
my $path = '/run/rpcbind.sock';

sub registrations {  # v4 DUMP: {"program:version:netid" => port}, or undef
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or return;
    setsockopt($socket, SOL_SOCKET, $_, pack('l!l!', 1, 0)) for SO_RCVTIMEO, SO_SNDTIMEO;
    connect($socket, pack_sockaddr_un($path)) or return;
    my $read = sub {
        my $data = '';
        while (length($data) < $_[0]) {
            sysread($socket, $data, $_[0] - length($data), length($data)) or return;
        }
        return $data;
    };
    syswrite($socket, pack('N11', 0x80000028, 1, 0, 2, 100000, 4, 4, 0, 0, 0, 0)) or return;
    my ($reply, $mark) = ('', 0);
    until ($mark & 0x80000000) {
        $mark = unpack('N', $read->(4) // return);
        $reply .= $read->($mark & 0x7fffffff) // return;
    }
    my ($xid, $type, $denied, $flavor, $length, $status) = unpack('N6', $reply);
    return if $type != 1 || $denied || $length || $status;
    my ($at, %port) = (24);
    my $string = sub {
        my $count = unpack('N', substr($reply, $at, 4));
        my $value = substr($reply, $at + 4, $count);
        $at += 4 + ($count + 3 & ~3);
        return $value;
    };
    while (unpack('N', substr($reply, $at, 4))) {
        my ($program, $version) = unpack('N2', substr($reply, $at + 4, 8));
        $at += 12;
        my ($netid, $address, $owner) = ($string->(), $string->(), $string->());
        $port{"$program:$version:$netid"} = $1 * 256 + $2 if $address =~ /\.(\d+)\.(\d+)$/;
    }
    return \%port;
}

sub is_bound {
    my ($netid, $port) = @_;
    my $protocol = substr($netid, 0, 3);
    # A [::] socket may serve IPv4 as well.
    for my $file ("/proc/net/$protocol", "/proc/net/${protocol}6") {
        open(my $table, '<', $file) or next;
        while (<$table>) {
            my ($local, $state) = (split)[1, 3];
            next unless $local =~ /:([0-9A-F]{4})$/ && hex($1) == $port;
            return 1 if $protocol eq 'udp' || $state eq '0A';
        }
    }
    return 0;
}

sub lacking {
    my $port = registrations() or return "no answer from rpcbind on $path";
    for my $service (@services) {
        for my $netid (qw(udp tcp udp6 tcp6)) {
            my $found = $port->{"$service:$netid"} or return "$service $netid is not registered";
            is_bound($netid, $found) or return "$service $netid is registered on port $found, where nothing listens";
        }
    }
    return '';
}

sub ended {
    open(my $stat, '<', "/proc/$pid/stat") or return 1;
    return <$stat> =~ /\) [ZX]/;
}

my $limit = time() + $seconds;
while ((my $lacking = lacking()) ne '') {
    if (ended()) { print "process $pid ended; $lacking\n"; exit 1 }
    if (time() > $limit) { print "$lacking after $seconds s\n"; exit 1 }
    select(undef, undef, undef, @services ? 0.1 : 0.02);
}
