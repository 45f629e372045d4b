// The order in which files go.
const next = () => {
  const isSmallDue = small.length && (!big.length || !items.isSmall);
  if (!isSmallDue) {
    const item = big.shift();
    return item && { list: [item], run: () => large(item) };
  }
  let length = 0;
  let count = 0;
  const first = small[0];
  while (count < small.length && count < MOST_ROWS) {
    const item = small[count];
    if (item.dir !== first.dir || (count && (length + item.size > pieceBytes || item.isAlone || first.isAlone))) break;
    length += item.size;
    count += 1;
  }
  const list = small.splice(0, count);
  return { list, run: () => many(list), isSmall: true };
};

const pump = () => {
  while (!isPaused && busy < AT_ONCE && Date.now() >= waits) {
    const job = next();
    if (!job) break;
    busy += 1;
    if (job.isSmall) items.isSmall = true;
    for (const item of job.list) { item.state = 'sending'; sending.add(item); if ((!reading && items.length <= 300) || item.size > BIG) show(item); drawItem(item); }
    job.run().catch(error => job.list.forEach(item => item.state === 'sending' && fail(item, String(error)))).finally(() => {
      busy -= 1;
      for (const item of job.list) sending.delete(item);
      if (job.isSmall) items.isSmall = false;
      pump();
    });
  }
};
