// Uploads one file with tus-js-client: upload.mjs ENDPOINT FILE NAME [OPTIONS as JSON]. A line for each address and offset goes
// to standard output. `deferred`: the length is told last. `chunk`: bytes of a request. `from`: goes on with this address.
// `parallel`: sends so many parts at once, which the server has to put together.
import { createReadStream, statSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import tus from 'tus-js-client';

const [endpoint, file, filename, json = '{}'] = process.argv.slice(2);
const { deferred = false, chunk = Infinity, from = null, parallel = 1, protocol = 'tus-v1' } = JSON.parse(json);

// The client knows the size of a file, and then announces bytes behind its end if it may not tell that size.
const source = deferred ? createReadStream(file).pipe(new PassThrough()) : createReadStream(file);
const upload = new tus.Upload(source, {
  endpoint,
  protocol,
  uploadUrl: from,
  uploadSize: deferred || parallel > 1 ? null : statSync(file).size,
  uploadLengthDeferred: deferred,
  chunkSize: chunk,
  parallelUploads: parallel,
  metadata: { filename },
  retryDelays: [0, 100, 200, 400, 800, 1600, 3200, 6400],
  onUploadUrlAvailable: () => console.log(`address ${upload.url}`),
  onProgress: (sent) => console.log(`sent ${sent}`),
  onChunkComplete: (size, accepted) => console.log(`accepted ${accepted}`),
  onSuccess: () => console.log('done'),
  onError: (error) => {
    console.log(`error ${error}`);
    process.exitCode = 1;
  },
});
upload.start();
