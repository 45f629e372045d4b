// Uploads one file twice with Uppy and its plugin for tus, once as a single file and once as one of a folder:
// uppy.mjs ENDPOINT FILE NAME [OPTIONS as JSON]. A line for each address and offset goes to standard output. `chunk`: bytes of a
// request.
import { readFileSync } from 'node:fs';
import Uppy from '@uppy/core';
import Tus from '@uppy/tus';
import { DefaultHttpStack } from 'tus-js-client';

const [endpoint, file, name, json = '{}'] = process.argv.slice(2);
const { chunk = Infinity } = JSON.parse(json);

// The plugin writes to the browser's request, and in node there is none before it is sent.
class Stack extends DefaultHttpStack {
  createRequest(...words) {
    const request = super.createRequest(...words);
    const own = request.getUnderlyingObject.bind(request);
    return Object.assign(request, { getUnderlyingObject: () => own() ?? {} });
  }
}

const bytes = readFileSync(file);
const uppy = new Uppy();
uppy.use(Tus, {
  endpoint,
  httpStack: new Stack({}),
  chunkSize: chunk,
  retryDelays: [0, 100, 200, 400, 800, 1600, 3200, 6400],
  onChunkComplete: (size, accepted) => console.log(`accepted ${accepted}`),
});
for (const relativePath of [null, `folder/${name}`]) {
  // In node the bytes are a Buffer, which has no size as a File has.
  const data = Object.assign(Buffer.from(bytes), { size: bytes.length });
  uppy.addFile({ name: relativePath ? `in ${name}` : name, data, meta: { relativePath } });
}
const { successful = [], failed = [] } = await uppy.upload();
for (const { error } of failed) console.log(`error ${error}`);
if (failed.length === 0 && successful.length === 2) console.log('done');
else process.exitCode = 1;
