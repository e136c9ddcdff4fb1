"""Types a line and two tabs into a real shell on a terminal, and waits until it shows what is expected.

typing.py SHELL SCRIPT FOLDER: the script is SHELL's completions of a program in FOLDER.
stdin: {line: [expected, …], …}, each for a shell of its own; stdout: {line: screen, …} of those that showed
something else.
"""
import json
import os
import pty
import re
import select
import sys
import time
from concurrent.futures import ProcessPoolExecutor

shell, script, folder = sys.argv[1:]
ready = "shell is ready"
command = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}[shell]
start = {
    "bash": "PS1='> '; source '%s'" % script,
    # It finds completions by their name, so the script must be called _PROGRAM.
    "zsh": "PROMPT='> '; fpath=('%s' $fpath); autoload -Uz compinit; compinit -u -D; setopt autolist; "
    "unsetopt listbeep; LISTMAX=1000" % os.path.dirname(script),
    "fish": "function fish_prompt; echo '> '; end; source '%s'" % script,
}[shell] + "; echo shell is ready\n"
home = os.path.dirname(script)
environment = dict(
    os.environ, PATH=folder + ":" + os.environ["PATH"], TERM="xterm", LC_ALL="C.UTF-8", COLUMNS="200", HOME=home,
    XDG_CONFIG_HOME=home, XDG_DATA_HOME=home, HISTFILE="/dev/null")


class Terminal:
    def __init__(self):
        self.screen = ""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment)

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def shows(self, found, seconds):
        """Whether it does within so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.descriptor], [], [], 0.1)[0]:
                try:
                    chunk = os.read(self.descriptor, 65536).decode(errors="replace")
                except OSError:
                    return False
                self.screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-Z]?|[\x07\x0f]", "", chunk)
            if found(self.screen):
                return True
        return False

    def end(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


def attempt(case):
    line, expected = case
    terminal = Terminal()
    try:
        terminal.type(start)
        # Once it is shown as it is typed, once as it is printed.
        if not terminal.shows(lambda screen: re.search(r"[\r\n]" + ready, screen), 30):
            return line, terminal.screen
        terminal.shows(lambda screen: False, 0.3)
        terminal.screen = ""
        terminal.type(line + "\t\t")
        isShown = terminal.shows(lambda screen: all(word in screen.replace(line, "", 1) for word in expected), 30)
        return line, None if isShown else terminal.screen
    finally:
        terminal.end()


if __name__ == "__main__":
    cases = json.load(sys.stdin).items()
    with ProcessPoolExecutor(max_workers=4) as pool:
        results = pool.map(attempt, cases)
    json.dump({line: screen for line, screen in results if screen is not None}, sys.stdout)
