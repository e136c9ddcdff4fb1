"""A file system that hangs, as a dead NFS server's does: whoever looks up a name in it waits, and can be killed.

hang.py FOLDER TARGETS: prints "mounted PID", and "waits NAME" when somebody looks NAME up. Once TARGETS/NAME exists, the
name leads there. One name waits at a time. It is an automounter's file system whose automounter takes its time.
"""

import ctypes
import fcntl
import os
import sys
import time

READY = 0x9360  # AUTOFS_IOC_READY

folder, targets = sys.argv[1:]
read, write = os.pipe()
os.mkdir(folder)
libc = ctypes.CDLL(None, use_errno=True)
# Who is of this process group doesn't wait.
if os.getpgrp() != os.getpid():
    os.setpgid(0, 0)
options = f"fd={write},pgrp={os.getpgrp()},minproto=5,maxproto=5,indirect"
if libc.mount(b"hang", folder.encode(), b"autofs", 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
root = os.open(folder, os.O_RDONLY)
print("mounted", os.getpid(), flush=True)
while True:
    # struct autofs_v5_packet: version, type, token, device, inode, uid, gid, pid, tgid, length, name.
    packet = os.read(read, 4096)
    length = int.from_bytes(packet[40:44], sys.byteorder)
    name = packet[44:44 + length].decode()
    print("waits", name, flush=True)
    target = os.path.join(targets, name)
    while not os.path.exists(target):
        time.sleep(0.02)
    os.symlink(target, os.path.join(folder, name))
    fcntl.ioctl(root, READY, int.from_bytes(packet[8:12], sys.byteorder))
