// What the relay keeps, in this browser, as a list that only grows.

/** A list of records in IndexedDB. */
export function openStore(name) {
  const opened = new Promise((resolve, reject) => {
    const request = indexedDB.open(name);
    request.onupgradeneeded = () => request.result.createObjectStore('records', { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  opened.catch(() => {}); // the calls below tell

  async function use(mode, call) {
    const transaction = (await opened).transaction('records', mode);
    const request = call(transaction.objectStore('records'));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  return {
    all: () => use('readonly', (records) => records.getAll()),
    add: (record) => use('readwrite', (records) => records.add(record)),
    clear: () => use('readwrite', (records) => records.clear()),
  };
}
