# detach.pl LOG PIDFILE COMMAND…: starts COMMAND in a session of its own and returns once it has been executed.
use strict;
use warnings;
use Fcntl;
use POSIX ();

my ($log, $pidfile, @command) = @ARGV;
die "usage: detach.pl LOG PIDFILE COMMAND...\n" unless @command;

sub give_up {
    my ($what, $value, $todo) = @_;
    print STDERR "lab: $what: $value; $todo\n";
    exit 1;
}

# Close-on-exec: end of file means that the command runs, anything else is why it doesn't.
pipe(my $outcome, my $report) or give_up('cannot make a pipe', $!, 'free some descriptors');
my $pid = fork() // give_up('cannot fork', $!, 'end some processes');

if ($pid == 0) {
    POSIX::setsid();
    my $keep = fileno($report);
    my $quit = sub { syswrite($report, $_[0]); POSIX::_exit(127) };
    open(STDIN, '<', '/dev/null') or $quit->("/dev/null: $!");
    open(STDOUT, '>>', $log) or $quit->("$log: $!");
    open(STDERR, '>&', \*STDOUT) or $quit->("$log: $!");
    # A caller's pipe held open here would keep it waiting for the end of its output.
    opendir(my $directory, '/proc/self/fd') or $quit->("/proc/self/fd: $!");
    my @inherited = grep { /^\d+$/ && $_ > 2 && $_ != $keep } readdir($directory);
    closedir($directory);
    POSIX::close($_) for @inherited;
    # Test runners ignore and block signals; the command shall start with none of that.
    for my $signal (1 .. 31) {
        POSIX::sigaction($signal, POSIX::SigAction->new('DEFAULT')) unless $signal == 9 || $signal == 19;
    }
    POSIX::sigprocmask(POSIX::SIG_SETMASK(), POSIX::SigSet->new());
    open(my $file, '>', $pidfile) or $quit->("$pidfile: $!");
    print {$file} "$$\n";
    close($file) or $quit->("$pidfile: $!");
    { no warnings 'exec'; exec { $command[0] } @command; }
    my $reason = "$command[0]: $!";
    unlink($pidfile);
    $quit->($reason);
}

close($report);
my $reason = join('', <$outcome>);
if ($reason ne '') {
    waitpid($pid, 0);
    give_up('cannot start', $reason, 'check the path and the state directory');
}
