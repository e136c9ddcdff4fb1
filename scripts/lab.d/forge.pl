# forge.pl SOURCE PORT DESTINATION PORT HEX: sends a UDP datagram with any source address and port, IPv4 or IPv6.
use strict;
use warnings;
use Socket qw(AF_INET AF_INET6 SOCK_RAW inet_pton pack_sockaddr_in pack_sockaddr_in6);

my ($source, $source_port, $destination, $port, $hex) = @ARGV;
die "usage: forge.pl SOURCE PORT DESTINATION PORT HEX\n" unless defined $hex;
my $family = $destination =~ /:/ ? AF_INET6 : AF_INET;
my ($from, $to) = map { inet_pton($family, $_) // die "forge: $_ is no address\n" } $source, $destination;
my $text = pack('H*', $hex);
my $length = 8 + length($text);

sub checksum {
    my ($bytes) = @_;
    my $sum = 0;
    $sum += $_ for unpack('n*', length($bytes) % 2 ? "$bytes\0" : $bytes);
    $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
    return (~$sum & 0xffff) || 0xffff;
}

my $pseudo = $from . $to . pack('NN', $length, 17);
my $head = pack('nnn', $source_port, $port, $length);
my $datagram = $head . pack('n', checksum($pseudo . $head . "\0\0" . $text)) . $text;
# The kernel fills in IPv4's length, identification and checksum.
my $packet = $family == AF_INET
    ? pack('CCnnnCCn', 0x45, 0, 20 + $length, 0, 0, 64, 17, 0) . $from . $to . $datagram
    : pack('NnCC', 6 << 28, $length, 17, 64) . $from . $to . $datagram;
# IPPROTO_RAW: the packet has its header.
socket(my $socket, $family, SOCK_RAW, 255) or die "forge: socket: $!\n";
my $peer = $family == AF_INET ? pack_sockaddr_in(0, $to) : pack_sockaddr_in6(0, $to);
defined(send($socket, $packet, 0, $peer)) or die "forge: send: $!\n";
