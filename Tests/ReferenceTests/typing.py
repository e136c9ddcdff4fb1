"""Types a line and two tabs into a real shell on a terminal, and waits until it shows what is expected.

typing.py SHELL SCRIPT FOLDER LINE EXPECTED…: the script is SHELL's completions of rpcwarden, which is in FOLDER.
Ends with 1, and prints the screen, if that doesn't come.
"""
import os
import pty
import re
import select
import sys
import time

shell, script, folder, line = sys.argv[1:5]
expected = sys.argv[5:]
ready = "shell is ready"
commands = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}[shell]
start = {
    "bash": "PS1='> '; source '%s'" % script,
    # Completions are found by their name, so the script must be called _rpcwarden.
    "zsh": "PROMPT='> '; fpath=('%s' $fpath); autoload -Uz compinit; compinit -u -D; setopt autolist; "
    "unsetopt listbeep; LISTMAX=1000" % os.path.dirname(script),
    "fish": "function fish_prompt; echo '> '; end; source '%s'" % script,
}[shell] + "; echo shell is ready\n"

environment = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], TERM="xterm", LC_ALL="C.UTF-8", COLUMNS="200",
                   HOME=os.path.dirname(script), XDG_CONFIG_HOME=os.path.dirname(script),
                   XDG_DATA_HOME=os.path.dirname(script), HISTFILE="/dev/null")
pid, terminal = pty.fork()
if pid == 0:
    os.execvpe(commands[0], commands, environment)
os.set_blocking(terminal, False)
screen = ""


def read_until(found, seconds):
    global screen
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                return False
            if not chunk:
                return False
            screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-Z]?|[\x07\x0f]", "", chunk.decode(errors="replace"))
        if found():
            return True
    return False


def ended(status):
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    if status:
        print(screen)
    sys.exit(status)


os.write(terminal, start.encode())
# Once as it is typed, once as it is printed.
if not read_until(lambda: re.search(r"[\r\n]" + ready, screen), 30):
    ended(1)
read_until(lambda: False, 0.3)
screen = ""
os.write(terminal, (line + "\t\t").encode())
ended(0 if read_until(lambda: all(word in screen.replace(line, "", 1) for word in expected), 20) else 1)
