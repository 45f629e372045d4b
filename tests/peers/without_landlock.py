"""Runs a program for which the kernel has no Landlock: without_landlock.py PROGRAM WORD..."""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LANDLOCK_CREATE_RULESET = 444
ENOSYS = 38
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
# linux/filter.h: load the number of the system call, compare it, answer.
LOAD, EQUAL, ANSWER = 0x20, 0x15, 0x06


def instruction(code, value, if_true=0, if_false=0):
    return struct.pack("HBBI", code, if_true, if_false, value)


program = ctypes.create_string_buffer(
    instruction(LOAD, 0)
    + instruction(EQUAL, LANDLOCK_CREATE_RULESET, 0, 1)
    + instruction(ANSWER, ERRNO | ENOSYS)
    + instruction(ANSWER, ALLOW)
)


class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


filter = Filter(4, ctypes.addressof(program))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
