"""A file system that hangs, as a dead NFS server's does: whoever looks up a name in it waits, and can be killed.

hang.py FOLDER FILE: prints "waits" when somebody waits. Once FILE exists, the name leads to it.
"""

import ctypes
import fcntl
import os
import sys
import time

READY = 0x9360  # AUTOFS_IOC_READY

folder, target = sys.argv[1:]
read, write = os.pipe()
os.mkdir(folder)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={write},pgrp={os.getpgrp()},minproto=5,maxproto=5,indirect"
if libc.mount(b"hang", folder.encode(), b"autofs", 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
packet = os.read(read, 4096)
print("waits", flush=True)
while not os.path.exists(target):
    time.sleep(0.02)
# struct autofs_v5_packet: version, type, token, device, inode, uid, gid, pid, tgid, length, name.
length = int.from_bytes(packet[40:44], sys.byteorder)
os.symlink(target, os.path.join(folder, packet[44:44 + length].decode()))
root = os.open(folder, os.O_RDONLY)
fcntl.ioctl(root, READY, int.from_bytes(packet[8:12], sys.byteorder))
print("released", flush=True)
