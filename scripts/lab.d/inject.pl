# inject.pl PID NUMBER [ARGUMENT…]: has the main thread of a process make a system call, as whoever has taken it over
# would, and prints its result: at least 0, or minus an errno. The thread must wait in a system call; x86_64 alone.
use strict;
use warnings;

my ($pid, $call, @arguments) = @ARGV;
use constant { PTRACE => 101, SINGLESTEP => 9, GETREGS => 12, SETREGS => 13, ATTACH => 16, DETACH => 17 };
# Of struct user_regs_struct.
my %place = (r10 => 7, r9 => 8, r8 => 9, rax => 10, rdx => 12, rsi => 13, rdi => 14, orig_rax => 15, rip => 16);

# The kernel writes to the caller's own registers.
sub trace {
    my $request = $_[0];
    syscall(PTRACE, $request, $pid + 0, 0, $_[1] // 0) >= 0 or die "inject: ptrace $request: $!\n";
}

sub await_stop {
    waitpid($pid, 0) == $pid or die "inject: waitpid: $!\n";
}

trace(ATTACH);
await_stop();
my $before = pack('Q27', (0) x 27);
trace(GETREGS, $before);
my @registers = unpack('Q27', $before);
# Behind the instruction of the call that it waits in; it makes that call again afterwards.
$registers[$place{rip}] -= 2;
# No call is under way: none is restarted.
$registers[$place{orig_rax}] = ~0;
$registers[$place{rax}] = $call;
@registers[@place{qw(rdi rsi rdx r10 r8 r9)}] = map { $arguments[$_] // 0 } 0 .. 5;
my $changed = pack('Q27', @registers);
trace(SETREGS, $changed);
trace(SINGLESTEP);
await_stop();
my $after = pack('Q27', (0) x 27);
trace(GETREGS, $after);
trace(SETREGS, $before);
trace(DETACH);
print unpack('q', pack('Q', (unpack('Q27', $after))[$place{rax}])), "\n";
