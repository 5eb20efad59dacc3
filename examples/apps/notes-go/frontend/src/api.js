// The little of PocketBase's API that this app needs; its JavaScript SDK would do the same
// and more, but an example is easier to follow without it.

const records = "/api/collections/notes/records";

async function call(path, method = "GET", body) {
  const options = { method };
  if (body) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  // A deletion answers 204, with nothing in it.
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    // PocketBase puts what is wrong with each field under `data`.
    const fields = Object.entries(answer.data ?? {}).map(([name, why]) => `${name}: ${why.message}`);
    throw new Error(fields.join(" ") || answer.message || `The server answered ${response.status}.`);
  }
  return answer;
}

export const list = () => call(`${records}?sort=-created&perPage=200&skipTotal=true`).then((page) => page.items);
export const add = (text) => call(records, "POST", { text });
export const update = (id, change) => call(`${records}/${id}`, "PATCH", change);
export const remove = (id) => call(`${records}/${id}`, "DELETE");
export const summary = () => call("/api/notes/summary");
