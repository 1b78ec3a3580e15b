"""Becomes one container: run in fresh mount and pid namespaces, as their first process. Argument: a JSON file.

    {"root": empty folder, "bin": programs, seen at /vt/bin, "mounts": [{"source", "target", "read_only"}], "files": {target: source},
     "argv": [...], "env": {...}, "cwd": "/"}

The machine's own folders are there read-only in the place of an image; nothing but the mounts can be written to, as in a pod with
readOnlyRootFilesystem. Exit code 127: the container could not be made.
"""

import ctypes
import json
import os
import sys

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
OWN = {"proc", "tmp", "vt", "lost+found", "run"}  # Not the machine's.
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind=None, flags=0, data=None):
    def text(value):
        return None if value is None else value.encode()
    if libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} at {target}: {os.strerror(number)}")


def bind(source, target, read_only):
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        try:
            mount(None, target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)
        except PermissionError:  # A mount with flags that a user namespace may not drop: ask for these too.
            mount(None, target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def make_root(spec):
    root = spec["root"]
    mount(None, "/", flags=MS_REC | MS_PRIVATE)
    mount("container", root, "tmpfs", data="mode=755,size=1m")
    for name in sorted(os.listdir("/")):
        source, target = "/" + name, os.path.join(root, name)
        if name in OWN:
            continue
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            os.mkdir(target)
            bind(source, target, read_only=name not in ("dev", "sys"))
    for name in ("proc", "tmp", "run", "vt", "vt/bin"):
        os.mkdir(os.path.join(root, name))
    mount("proc", os.path.join(root, "proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bind(spec["bin"], os.path.join(root, "vt/bin"), read_only=True)
    for one in spec["mounts"]:
        target = os.path.join(root, one["target"].lstrip("/"))
        os.makedirs(target, exist_ok=True)
        bind(one["source"], target, one["read_only"])
    for target, source in spec["files"].items():
        target = os.path.join(root, target.lstrip("/"))
        if os.path.isfile(target) and not os.path.islink(target):
            mount(source, target, flags=MS_BIND)
    mount(None, root, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)
    os.chroot(root)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    try:
        make_root(spec)
        os.chdir(spec["cwd"])
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except OSError as error:
        print(f"container: {error}", file=sys.stderr, flush=True)
        os._exit(127)


main()
