const collection = "api/collections/messages/records";
const pageSize = 30;
const retryAtMost = 30_000;

const list = document.querySelector("#messages");
const older = document.querySelector("#older");
const form = document.querySelector("#sign");
const problem = document.querySelector("#problem");

/** What is on the page, by record id: an item each, in the order of the list. */
const shown = new Map();

// ---- showing ------------------------------------------------------------------------

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Shows a record, or shows it anew. The same one may come from the list and as an event. */
function show(record, fresh = false) {
  const item = shown.get(record.id) ?? document.querySelector("#message").content.cloneNode(true).firstElementChild;

  // Strangers wrote this: textContent, never innerHTML.
  item.querySelector(".author").textContent = record.author;
  item.querySelector(".body").textContent = record.body;
  const time = item.querySelector("time");
  const created = new Date(record.created.replace(" ", "T"));
  time.dateTime = created.toISOString();
  time.textContent = dates.format(created);

  if (!shown.has(record.id)) {
    shown.set(record.id, item);
    item.dataset.created = record.created;
    item.classList.toggle("fresh", fresh);
    // PocketBase's dates are fixed-width text: they sort as they are.
    const next = [...list.children].find((other) => other.dataset.created < record.created);
    list.insertBefore(item, next ?? null);
  }
  document.querySelector("#empty").hidden = true;
}

function remove(id) {
  shown.get(id)?.remove();
  shown.delete(id);
  document.querySelector("#empty").hidden = shown.size > 0;
}

// ---- reading and writing ------------------------------------------------------------

/** Sends a request and gives the answer's JSON; throws an Error with words for a person. */
async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The guestbook cannot be reached. Try again in a moment.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    // PocketBase puts what is wrong with each field under `data`.
    const fields = Object.entries(answer.data ?? {}).map(([name, why]) => `${name}: ${why.message}`);
    throw new Error(fields.join(" ") || answer.message || `The server answered ${response.status}.`);
  }
  return answer;
}

function post(path, body) {
  return call(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** Loads one page of messages: the newest, or those not newer than `before`. */
async function load(before) {
  const query = new URLSearchParams({ sort: "-created", perPage: pageSize, skipTotal: true });
  // "<=" and not "<": two messages may share a millisecond, and `show` forgives repeats.
  if (before) query.set("filter", `created <= "${before}"`);
  const { items } = await call(`${collection}?${query}`);
  items.forEach((record) => show(record));
  return items;
}

older.addEventListener("click", async () => {
  older.disabled = true;
  try {
    const items = await load(list.lastElementChild?.dataset.created);
    older.hidden = items.length < pageSize;
  } catch (error) {
    problem.textContent = error.message;
  } finally {
    older.disabled = false;
  }
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  problem.textContent = "";
  try {
    show(await post(collection, Object.fromEntries(new FormData(form))), true);
    form.elements.body.value = "";
    form.elements.body.focus();
  } catch (error) {
    problem.textContent = error.message;
  } finally {
    button.disabled = false;
  }
});

// ---- staying live -------------------------------------------------------------------

const topic = "messages/*";
let failures = 0;

function state(name, words) {
  const live = document.querySelector("#live");
  live.dataset.state = name;
  live.textContent = words;
}

/**
 * Connects to PocketBase's realtime API. The stream's first event, PB_CONNECT, brings a
 * client id; posting it back with the wanted topics subscribes; from then on each change
 * comes as an event named like its topic: `{"action": "create", "record": {…}}`.
 */
function connect() {
  const stream = new EventSource("api/realtime");
  let over = false;

  // Waits longer after each failure, and never in step with everyone else's page: all of
  // them lose the server at the same moment when it restarts.
  const reconnect = () => {
    if (over) return;
    over = true;
    stream.close();
    state("lost", "Reconnecting…");
    const wait = Math.min(retryAtMost, 500 * 2 ** failures++);
    setTimeout(connect, wait * (0.5 + Math.random() / 2));
  };

  stream.addEventListener("PB_CONNECT", async (event) => {
    try {
      const known = [...shown.keys()];
      const { clientId } = JSON.parse(event.data);
      await post("api/realtime", { clientId, subscriptions: [topic] });
      // Loaded after subscribing, so that nothing falls between the two; and on each
      // connection, for what was missed while there was none.
      forget(known, await load());
      if (over) return;
      failures = 0;
      state("live", "Live");
    } catch {
      reconnect();
    }
  });

  stream.addEventListener(topic, (event) => {
    const { action, record } = JSON.parse(event.data);
    if (action === "delete") remove(record.id);
    else show(record, action === "create");
  });

  // Left alone, the browser retries a cut stream but gives up for good on an answer such
  // as 502, which is what a restarting server's proxy says.
  stream.addEventListener("error", reconnect);
}

/** After a gap: of the messages `known` before it, removes what the newest page disproves. */
function forget(known, newest) {
  const ids = new Set(newest.map((record) => record.id));
  const overlaps = known.some((id) => ids.has(id));
  // Within the page's span a message that is not on it was deleted. Without any overlap
  // more came than one page holds, and the old ones would stand below a hole.
  const since = newest.length < pageSize ? "" : newest.at(-1).created;
  for (const id of known) {
    const within = shown.get(id)?.dataset.created > since;
    if (!ids.has(id) && (within || !overlaps)) remove(id);
  }
  if (!overlaps) older.hidden = newest.length < pageSize;
  document.querySelector("#empty").hidden = shown.size > 0;
}

connect();
