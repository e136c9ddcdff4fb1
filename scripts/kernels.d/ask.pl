# ask.pl SOCKET COMMAND: runs COMMAND by the shell of a machine of scripts/kernels, and exits as it does.
use strict;
use warnings;
use IO::Socket::UNIX;
use MIME::Base64;

my ($path, $command) = @ARGV;
my $socket = IO::Socket::UNIX->new(Peer => $path) or die "ask: $path: $!; does the machine run?\n";
alarm($ENV{ASK_SECONDS} // 180);
my $number = int(rand(1e9));
print {$socket} "$number " . encode_base64($command, '') . "\n";
$socket->flush;
while (my $line = <$socket>) {
    # What is left of an answer that nobody waited for has another number.
    my ($of, $status, $text) = $line =~ /^(\d+) (\d+) ([A-Za-z0-9+\/=]*)\s*$/ or next;
    next unless $of == $number;
    print decode_base64($text);
    exit $status;
}
die "ask: the machine gave no answer to: $command\n";
