"""Feeds a command with a file, and with its end only once the command has shown on its terminal how far it is.

    watching.py FILE COMMAND...

Prints what the command wrote to the terminal of its standard error, with escape sequences made visible. Fails after 20 s.
"""
import os
import pty
import select
import subprocess
import sys

master, slave = pty.openpty()
os.environ["TERM"] = "xterm"
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=slave)
os.close(slave)
with open(sys.argv[1], "rb") as log:
    child.stdin.write(log.read())
    child.stdin.flush()
shown = b""
while True:
    if not select.select([master], [], [], 20)[0]:
        child.kill()
        sys.exit("nothing was shown")
    try:
        part = os.read(master, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if b" lines" in shown and not child.stdin.closed:
        child.stdin.close()
print(shown.decode().encode("unicode_escape").decode())
sys.exit(child.wait())
