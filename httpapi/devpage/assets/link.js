// Calls over a MessagePort, and news the other way.

/** Answers calls with the methods of an object. Returns a function that sends news. */
export function answerCalls(port, methods) {
  port.onmessage = async ({ data: { id, method, argument } }) => {
    port.postMessage({ id, result: await methods[method](argument) });
  };
  return (news) => port.postMessage({ news });
}

/** Returns a function that calls a method on the other side. */
export function callThrough(port, onnews) {
  const waiting = new Map();
  let last = 0;
  port.onmessage = ({ data: { id, result, news } }) => {
    if (id === undefined) return onnews(news);
    waiting.get(id)(result);
    waiting.delete(id);
  };
  return (method, argument) => new Promise((resolve) => {
    waiting.set(++last, resolve);
    port.postMessage({ id: last, method, argument });
  });
}
