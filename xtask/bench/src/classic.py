"""The classic pair, a file a connection: `serve PORT DIRECTORY` or `send PORT FILE...`."""

import json
import os
import socket
import struct
import sys

role, port, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

if role == "serve":
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        (length,) = struct.unpack("<i", connection.recv(4))
        header = json.loads(connection.recv(length))
        left = header["filesize"]
        with open(os.path.join(arguments[0], header["filename"]), "wb") as file:
            while left > 0:
                data = connection.recv(min(left, 65536))
                if not data:
                    sys.exit("the stream ended early")
                file.write(data)
                left -= len(data)
        connection.close()

for path in arguments:
    with open(path, "rb") as file, socket.create_connection(("127.0.0.1", port)) as connection:
        header = {"cmd": "put", "filename": os.path.basename(path)}
        header["filesize"] = os.path.getsize(path)
        header = json.dumps(header).encode()
        connection.sendall(struct.pack("<i", len(header)))
        connection.sendall(header)
        connection.sendfile(file)
        # The server closes when it has everything; until then nothing is known.
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
