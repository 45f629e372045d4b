"""The classic tutorial's client: sends each FILE to HOST:PORT over one connection, reads nothing.

Written from section "The classic dialect" of PROTOCOL.md with the standard library alone.
With --one-segment, prefix, header and body of all files leave in one call.
"""

import json
import os
import socket
import struct
import sys

arguments = sys.argv[1:]
together = "--one-segment" in arguments
if together:
    arguments.remove("--one-segment")
host, port = arguments[0].rsplit(":", 1)
connection = socket.create_connection((host, int(port)))
stream = b""
for path in arguments[1:]:
    with open(path, "rb") as file:
        body = file.read()
    header = json.dumps(
        {"cmd": "put", "filename": os.path.basename(path), "filesize": len(body)}
    ).encode()
    for piece in (struct.pack("<i", len(header)), header, body):
        if together:
            stream += piece
        else:
            connection.sendall(piece)
connection.sendall(stream)
connection.close()
