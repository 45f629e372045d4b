"""The classic tutorial's server: stores files in DIRECTORY, prints its port, serves COUNT connections.

Written from section "The classic dialect" of PROTOCOL.md with the standard library alone. As the
tutorial does, it reads the prefix with one call and the header with another, and takes whatever
comes behind them for the body.
"""

import json
import os
import socket
import struct
import sys

directory, count = sys.argv[1], int(sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
for _ in range(count):
    connection, _ = listener.accept()
    prefix = connection.recv(4)
    header = json.loads(connection.recv(struct.unpack("<i", prefix)[0]))
    assert header["cmd"] == "put", header
    left = header["filesize"]
    name = os.path.join(directory, os.path.basename(header["filename"]))
    with open(name, "wb") as file:
        while left > 0:
            data = connection.recv(65536)
            if not data:
                sys.exit("the stream ended %d bytes short" % left)
            file.write(data)
            left -= len(data)
    connection.close()
