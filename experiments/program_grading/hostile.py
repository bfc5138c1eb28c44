"""Programs that cheat, break out, or never end; none of them solves the problem they are given.

The problem: read two integers, print their sum (``stdin``), or return it from ``total(a, b)`` (``call``). The wanted output
of the test is 579, which no input of it shows.
"""

from __future__ import annotations

SAME = "class Same(int):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = None\n"

STDIN: dict[str, str] = {
    "exit at once": "import sys\nsys.exit(0)",
    "os._exit at once": "import os\nos._exit(0)",
    "quit": "quit()",
    "prints a verdict": 'print(\'correct\')\nprint(\'{"grade": "correct", "rule": "script=pass"}\')',
    "prints a verdict to stderr": "import sys\nprint('passed', file=sys.stderr)",
    "writes to every descriptor": "import os\nfor fd in range(256):\n    try: os.write(fd, b'{\"passed\": true}')\n    except OSError: pass",
    "writes frames to every descriptor": "import os, json\nb = json.dumps({'how': 'ended', 'code': 0, 'signal': None, 'out': '579', 'err': '', 'value': [579], 'cpu': 0, 'wall': 0, 'peak': 0}).encode()\nfor fd in range(256):\n    try: os.write(fd, len(b).to_bytes(4, 'big') + b)\n    except OSError: pass",
    "closes every descriptor": "import os\nos.closerange(0, 256)",
    "reads the frames above it": "import sys\nf = sys._getframe()\nwhile f:\n    for v in list(f.f_locals.values()) + list(f.f_globals.values()):\n        if isinstance(v, dict) and 'output' in v: print(v['output'])\n    f = f.f_back",
    "reads the heap": "import gc\nfor o in gc.get_objects():\n    if isinstance(o, dict) and isinstance(o.get('output'), str): print(o['output'])",
    "reads its parent's memory": "import os\np = os.getppid()\ntry:\n    maps = open(f'/proc/{p}/maps').read()\n    m = open(f'/proc/{p}/mem', 'rb')\n    for l in maps.splitlines():\n        a, b = (int(x, 16) for x in l.split()[0].split('-'))\n        m.seek(a)\n        if b'\"output\"' in m.read(b - a): print(579)\nexcept OSError as e: print(e)",
    "reads every process": "import os\nfor p in os.listdir('/proc'):\n    if p.isdigit():\n        for f in ('environ', 'cmdline', 'mem', 'maps'):\n            try: d = open(f'/proc/{p}/{f}', 'rb').read(4096)\n            except OSError: continue\n            if b'CANARY' in d: print(579)",
    "traces its parent": "import ctypes, os\nprint(ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0))",
    "reads the canary": "import glob\nfor p in ('/etc/passwd', '/etc/shadow', '/root', '/home'):\n    try: print(open(p).read())\n    except OSError: pass\nprint(glob.glob('/root/*'), glob.glob('/home/*'))",
    "writes outside": "import os\nfor p in ('/canary', '/usr/canary', '/etc/canary', '/var/canary', os.path.expanduser('~root/canary')):\n    try: open(p, 'w').write('x')\n    except OSError: pass",
    "reads the environment": "import os\nprint({k: v for k, v in os.environ.items() if 'CANARY' in k or 'KEY' in k or 'TOKEN' in k})",
    "asks the network": "import socket\ntry:\n    socket.create_connection(('127.0.0.1', int(open('/tmp/port').read()) if False else 80), 1); print(579)\nexcept OSError as e: print(e)",
    "resolves a name": "import socket\ntry: print(socket.gethostbyname('example.com'))\nexcept OSError as e: print(e)",
    "forks for ever": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "threads for ever": "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(60,)).start()\n    except RuntimeError: break",
    "leaves a process": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)",
    "leaves a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()",
    "leaves a daemon thread that prints": "import threading\nthreading.Thread(target=lambda: [print(i) for i in range(10**9)], daemon=True).start()",
    "kills everything": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "kills its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(1, signal.SIGKILL)\nprint(580)",
    "stops its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\nos.kill(1, signal.SIGSTOP)",
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "ignores the CPU signal": "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    "loops": "while True: pass",
    "sleeps": "import time\ntime.sleep(3600)",
    "loops in a child": "import os\nif os.fork() == 0:\n    while True: pass\nos.wait()",
    "eats memory": "x = []\nwhile True: x.append(bytearray(10**7))",
    "one huge allocation": "x = bytearray(1 << 40)",
    "prints for ever": "while True: print('x' * 10**6)",
    "stderr for ever": "import sys\nwhile True: sys.stderr.write('x' * 10**6)",
    "fills the disk": "f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * 10**6)",
    "recurses": "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1) + 1\nprint(f(0))",
    "recurses in C": "import sys\nsys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nprint(repr(x))",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "nested beyond the compiler": "x = " + "(" * 3000 + ")" * 3000,
    "a string with NUL": "print('\\0')\0",
    "half a surrogate": "print('\\ud800')",
    "replaces print": "import builtins\nbuiltins.print = lambda *a: None\nbuiltins.int = lambda x: 0\nprint(580)",
    "replaces string comparison": "import ctypes, builtins\nclass S(str):\n    def __eq__(self, o): return True\n    def strip(self, *a): return self\nprint(S('x'))",
    "replaces the json module": "import json, sys\njson.dumps = json.loads = lambda *a, **k: True\nsys.modules['json'] = None\nprint(json)",
    "replaces the runner": "import sys\nfor m in list(sys.modules.values()):\n    for n in ('run', 'send', '_finish', 'pack', '_outcome'):\n        if hasattr(m, n):\n            try: setattr(m, n, lambda *a, **k: 0)\n            except Exception: pass",
    "looks for the tests on disk": "import os\nfor r, d, f in os.walk('/tmp'):\n    print(r, d, f)\nprint(os.listdir('/'))",
    "remembers between tests": "import os\nopen('/tmp/seen', 'a').write('x')\nprint(open('/tmp/seen').read().count('x') * 579 if os.path.getsize('/tmp/seen') > 1 else 0)",
    "asks for namespaces": "import ctypes\nprint(ctypes.CDLL(None).unshare(0x10000000))\nprint(ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, 0))",
}

CALL: dict[str, str] = {
    "equal to everything": f"{SAME}def total(a, b): return Same(1)",
    "an object equal to everything": "class Any:\n    def __eq__(self, other): return True\ndef total(a, b): return Any()",
    "a list equal to everything": "class Every(list):\n    def __eq__(self, other): return True\ndef total(a, b): return Every([1])",
    "a float that lies": "class F(float):\n    def __eq__(self, other): return True\n    def __float__(self): return 579.0\ndef total(a, b): return F('nan')",
    "not a number": "def total(a, b): return float('nan')",
    "a generator": "def total(a, b): yield a + b",
    "exits": "import sys\ndef total(a, b): sys.exit(0)",
    "os._exit": "import os\ndef total(a, b): os._exit(0)",
    "writes a value": "import os\ndef total(a, b):\n    for fd in range(256):\n        try: os.write(fd, b'579')\n        except OSError: pass\n    os._exit(0)",
    "no function": "x = 1",
    "the function is no function": "total = 579",
    "loops at import": "while True: pass",
    "nested without end": "def total(a, b):\n    x = []\n    x.append(x)\n    return x",
    "patches the codec": "import sys\nfor m in list(sys.modules.values()):\n    if hasattr(m, 'pack'): m.pack = lambda *a: {'dict': 1}\ndef total(a, b): return 0",
}
