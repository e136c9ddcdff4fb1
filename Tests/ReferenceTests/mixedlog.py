"""Writes an audit log of mixed events of several hosts, the same for the same arguments.

    mixedlog.py LINES [HOSTS [CLIENTS]]

Some lines are no events: they must be skipped, and counted. The events are in the order of time, 30 days in all.
"""
import json
import random
import sys
from datetime import datetime, timedelta, timezone

lines = int(sys.argv[1])
hosts = int(sys.argv[2]) if len(sys.argv) > 2 else 3
clients = int(sys.argv[3]) if len(sys.argv) > 3 else 24
chance = random.Random(18)
start = datetime(2026, 11, 1, tzinfo=timezone.utc)
step = timedelta(days=30) / max(1, lines)

PROGRAMS = {"nfs": 100003, "mountd": 100005, "nlockmgr": 100021, "status": 100024, "rquotad": 100011}
PORTS = {"nfs": 2049, "mountd": 20048, "nlockmgr": 32803, "status": 32765, "rquotad": 875}
REASONS = ["stranger"] * 9 + ["no-rule"] * 4 + ["no-list", "remote-call", "transport", "not-served", "udp-list", "rate"]
TOOLS = ["rpcinfo", "nmap's rpcinfo script, or the like", "showmount", "metasploit's portmap_amp"]
RULES = ['nfs.yaml:12 "workstations mount NFSv3"', 'nfs.yaml:20 "backup reads everything"']
KINDS = (
    ["permitted"] * 46 + ["granted"] * 12 + ["expired"] * 9 + ["denied"] * 24 + ["probed"] * 4 + ["renewed"] * 3
    + ["revoked", "suppressed"]
)
RARE = ["enumeration", "quarantined", "released", "tampered", "reload", "restart", "malformed", "shielded", "skip"]

grants = [[] for _ in range(hosts)]
modes = ["observe"] * hosts
running = [False] * hosts


def client():
    number = min(int(chance.expovariate(6 / clients)), clients - 1)
    return f"10.20.{number // 250}.{number % 250 + 1}" if number % 5 else f"2001:db8:20::{number + 1:x}"


def stranger():
    number = min(int(chance.expovariate(6 / clients)), clients - 1)
    return f"198.51.{number // 250 + 100}.{number % 250 + 1}"


def write(time, host, event, **keys):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"
    print(json.dumps({"ts": stamp, "event": event, **keys, "host": f"filer{host + 1}"}, separators=(",", ":")))


def call(program, transport="udp"):
    return {
        "port": chance.randrange(600, 1023), "transport": transport, "program": PROGRAMS[program],
        "program_name": program, "version": 3, "procedure": "getport", "over": "tcp",
    }


def common(time, host, kind):
    program = chance.choice(list(PROGRAMS))
    if kind == "permitted":
        write(time, host, kind, client=client(), **call(program), decision=kind, rule=chance.choice(RULES), xid=7)
    elif kind == "granted":
        key = (client(), program)
        grants[host].append(key)
        write(time, host, kind, client=key[0], program=PROGRAMS[program], program_name=program, rule=RULES[0],
              granted=f"tcp/{PORTS[program]}")
    elif kind in ("expired", "revoked", "renewed"):
        known = grants[host]
        key = known[chance.randrange(len(known))] if known else (client(), program)
        if kind != "renewed" and known:
            known.remove(key)
        write(time, host, kind, client=key[0], program=PROGRAMS[key[1]], granted=f"tcp/{PORTS[key[1]]}")
    elif kind == "denied":
        reason = chance.choice(REASONS)
        lifted = modes[host] == "observe" and reason not in ("remote-call", "not-served")
        write(time, host, kind, client=stranger() if reason == "stranger" else client(), **call(program),
              decision=kind, reason=reason, **({"enforced": False} if lifted else {}))
    elif kind == "probed":
        write(time, host, kind, client=stranger(), port=40000, transport="tcp", program=PROGRAMS[program],
              program_name=program, detail=f"tcp/{PORTS[program]}")
    else:
        write(time, host, kind, count=chance.randrange(1, 400), window=10, detail="denied")


def rare(time, host, kind):
    soon = time + step / 2
    if kind == "enumeration":
        tool = chance.choice(TOOLS)
        write(time, host, kind, client=stranger(), transport="tcp", count=chance.randrange(2, 60),
              detail=f"programs 100003 100005; reasons stranger; looks like {tool}")
    elif kind == "quarantined":
        write(time, host, kind, client=stranger(), transport="tcp", count=21, window=600,
              detail="at least 20 denials within 60.0 seconds")
    elif kind == "tampered":
        write(time, host, kind, count=3, detail="table deleted by nft (pid 4711)")
        write(soon, host, "restored", detail="table inet rpcwarden, 12 grants")
    elif kind == "reload":
        if chance.random() < 0.2:
            write(time, host, "reload-refused", detail='policy.d/nfs.yaml:12:9: error: unknown program "mountdd"')
        elif modes[host] == "observe":
            modes[host] = "enforce"
            write(time, host, "reloaded", detail="mode changed from observe to enforce; settings changed")
        else:
            write(time, host, "reloaded", detail=f"rule changed: {RULES[0]}")
    elif kind == "restart":
        if running[host] and chance.random() < 0.8:
            write(time, host, "stopped", detail="the guard stays")
        write(soon, host, "started", detail=f"rpcwarden 0.2.0, {modes[host]}")
        running[host] = True
    elif kind == "skip":
        print(chance.choice(["no json at all", '{"ts":"2026-11-01T00:00:00Z","event":"unheard-of"}', '{"event":"denied"']))
    elif kind == "released":
        write(time, host, kind, client=stranger(), detail="its time is up")
    else:
        write(time, host, kind, client=stranger(), transport="udp", count=1)


for number in range(lines):
    moment, place = start + step * number, chance.randrange(hosts)
    if not running[place]:
        rare(moment, place, "restart")
    elif chance.random() < 0.012:
        rare(moment, place, chance.choice(RARE))
    else:
        common(moment, place, chance.choice(KINDS))
