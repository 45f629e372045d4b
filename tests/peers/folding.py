"""A file system that takes names which differ by case for one name: FUSE over a directory.

Usage: folding.py DIRECTORY MOUNTPOINT. Ends with the process that has started it, and says "mounted" on standard output.
Keeps nothing in the kernel's caches, exchanges no names, and knows neither hard links nor attributes.
"""

import ctypes
import errno
import os
import signal
import stat
import struct
import subprocess
import sys

back, point = os.path.abspath(sys.argv[1]), sys.argv[2]
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.umask(0)
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
subprocess.run(["mount", "-i", "-t", "fuse", "none", point, "-o", options], pass_fds=[fuse], check=True)
os.set_inheritable(fuse, False)
paths, numbers = {1: ""}, {"": 1}


def refuse(number):
    raise OSError(number, "")


def at(path):
    return os.path.join(back, path)


def number(path):
    """The number of a path, which stays while the path is there."""
    if path not in numbers:
        numbers[path] = max(paths) + 1
        paths[numbers[path]] = path
    return numbers[path]


def spelled(parent, name):
    """The path of an entry, as it is stored if it is there."""
    name = name.decode()
    found = [entry for entry in os.listdir(at(parent)) if entry.lower() == name.lower()]
    return os.path.join(parent, found[0] if found else name)


def attributes(path):
    s = os.lstat(at(path))
    times = [s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns]
    seconds, rest = [t // 10**9 for t in times], [t % 10**9 for t in times]
    return struct.pack("<6Q10I", number(path), s.st_size, s.st_blocks, *seconds, *rest, s.st_mode, s.st_nlink,
                       s.st_uid, s.st_gid, 0, 4096, 0)


def entry(path):
    return struct.pack("<4Q2I", number(path), 0, 0, 0, 0, 0) + attributes(path)


def change(path, body):
    valid, _, _, size, _, atime, mtime, _, ans, mns, _, mode, *_ = struct.unpack_from("<2I6Q8I", body)
    if valid & 1:
        os.chmod(at(path), stat.S_IMODE(mode))
    if valid & 8:
        os.truncate(at(path), size)
    if valid & 48:
        s = os.lstat(at(path))
        accessed = atime * 10**9 + ans if valid & 16 and not valid & 128 else s.st_atime_ns
        modified = mtime * 10**9 + mns if valid & 32 and not valid & 256 else s.st_mtime_ns
        os.utime(at(path), ns=(accessed, modified), follow_symlinks=False)
    return struct.pack("<Q2I", 0, 0, 0) + attributes(path)


def rename(parent, to, names):
    old, new = names.split(b"\0")[:2]
    source, target = spelled(parent, old), spelled(to, new)
    if source == target:
        target = os.path.join(to, new.decode())
    os.rename(at(source), at(target))
    for path in [path for path in numbers if path == target]:
        paths.pop(numbers.pop(path))
    for path in [path for path in numbers if path == source or path.startswith(source + "/")]:
        moved = target + path[len(source):]
        numbers[moved] = numbers.pop(path)
        paths[numbers[moved]] = moved
    return b""


def forget(path):
    paths.pop(numbers.pop(path, None), None)
    return b""


def read_directory(path, body):
    _, offset, size = struct.unpack_from("<2QI", body)
    answer = b""
    for place, name in enumerate(sorted(os.listdir(at(path)))[offset:], offset + 1):
        encoded = name.encode()
        kind = stat.S_IFMT(os.lstat(at(os.path.join(path, name))).st_mode) >> 12
        one = struct.pack("<2Q2I", number(os.path.join(path, name)), place, len(encoded), kind) + encoded
        one += b"\0" * (-len(one) % 8)
        if len(answer) + len(one) > size:
            break
        answer += one
    return answer


def open_file(path, flags):
    return struct.pack("<QIi", os.open(at(path), flags & ~(os.O_EXCL | os.O_CREAT | os.O_NOFOLLOW)), 1, 0)


def write(body):
    handle, offset, size = struct.unpack_from("<2QI", body)
    return struct.pack("<2I", os.pwrite(handle, body[40:40 + size], offset), 0)


def read(body):
    handle, offset, size = struct.unpack_from("<2QI", body)
    return os.pread(handle, size, offset)


def handle(op, node, body):
    if op == 26:
        return struct.pack("<4I2H2I2H8I", 7, 31, 1 << 17, 0, 12, 9, 1 << 17, 1, 32, 0, *[0] * 8)
    path, text = paths.get(node), body.split(b"\0")[0]
    if path is None:
        refuse(errno.ENOENT)
    if op == 1:
        return entry(spelled(path, text))
    if op == 3:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(path)
    if op == 4:
        return change(path, body)
    if op == 5:
        return os.readlink(at(path)).encode()
    if op == 6:
        made = spelled(path, text)
        os.symlink(body.split(b"\0")[1], at(made))
        return entry(made)
    if op == 9:
        made = spelled(path, body[8:-1])
        os.mkdir(at(made), struct.unpack_from("<I", body)[0] & 0o7777)
        return entry(made)
    if op in (10, 11):
        gone = spelled(path, text)
        (os.unlink if op == 10 else os.rmdir)(at(gone))
        return forget(gone)
    if op == 12:
        return rename(path, paths[struct.unpack_from("<Q", body)[0]], body[8:])
    if op == 14:
        return open_file(path, struct.unpack_from("<I", body)[0])
    if op == 15:
        return read(body)
    if op == 16:
        return write(body)
    if op == 17:
        return struct.pack("<5Q10I", 1 << 30, 1 << 30, 1 << 30, 1 << 20, 1 << 20, 4096, 255, 4096, *[0] * 7)
    if op == 18:
        os.close(struct.unpack_from("<Q", body)[0])
        return b""
    if op in (20, 29, 30, 50):
        return b""
    if op == 27:
        return struct.pack("<QIi", 0, 0, 0)
    if op == 28:
        return read_directory(path, body)
    if op == 35:
        flags, mode = struct.unpack_from("<2I", body)
        made = spelled(path, body[16:-1])
        os.close(os.open(at(made), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode & 0o7777))
        return entry(made) + open_file(made, flags)
    refuse(errno.EINVAL if op == 45 else errno.ENOSYS)


print("mounted", flush=True)
while True:
    try:
        request = os.read(fuse, 1 << 20)
    except OSError as error:
        if error.errno == errno.ENODEV:
            break
        continue
    _, op, unique, node = struct.unpack_from("<2I2Q", request)
    if op in (2, 36, 42):
        continue
    try:
        status, answer = 0, handle(op, node, request[40:])
    except OSError as error:
        status, answer = -error.errno, b""
    try:
        os.write(fuse, struct.pack("<IiQ", 16 + len(answer), status, unique) + answer)
    except OSError:
        pass
