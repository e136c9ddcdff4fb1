#!/usr/bin/perl
# lock FILE [SECONDS]: takes the POSIX lock of the whole file, tells when, and holds it for so long.
# lock --test FILE: exits 1 if another process holds it, and 0 if none does.
# lock --wait FILE: waits for it, prints the seconds that it took, and ends.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);

sub fail {
    print STDERR "lock: $ARGV[0]: $!\n";
    exit 2;
}
my $way = $ARGV[0] =~ /^--/ ? shift : '';
my ($path, $seconds) = @ARGV;
sysopen(my $file, $path, O_RDWR) or fail();
# struct flock of 64-bit Linux: type, whence, start, length, pid.
my $lock = pack('s s x![q] q q i x![q]', F_WRLCK, 0, 0, 0, 0);
# A minimal perl has no finer clock of its own.
sub now {
    open(my $uptime, '<', '/proc/uptime') or die "lock: /proc/uptime: $!\n";
    return (split ' ', <$uptime>)[0];
}
my $begin = now();
if ($way eq '--test') {
    fcntl($file, F_GETLK, $lock) or fail();
    exit((unpack('s', $lock))[0] == F_UNLCK ? 0 : 1);
}
fcntl($file, $way eq '--wait' ? F_SETLKW : F_SETLK, $lock) or fail();
printf "locked after %.1f s\n", now() - $begin;
$| = 1;
sleep $seconds if $seconds;
