"""Uploads one file with tuspy: upload.py ENDPOINT FILE NAME CHUNK. Prints the address, each offset, and `done`."""

import sys
import os

sys.path.insert(0, os.environ["CLIENTS"])
from tusclient import client

endpoint, file, name, chunk = sys.argv[1:]
tus = client.TusClient(endpoint)
uploader = tus.uploader(
    file, chunk_size=int(chunk), metadata={"filename": name}, retries=60, retry_delay=0.2, upload_checksum=True
)
size = os.path.getsize(file)
while uploader.offset < size:
    uploader.upload_chunk()
    print(f"accepted {uploader.offset}", flush=True)
print("done", flush=True)
