import * as api from "./api.js";
import "./style.css";

const notes = document.querySelector("#notes");
const form = document.querySelector("#add");
const problem = document.querySelector("#problem");

function item(note) {
  const element = document.querySelector("#note").content.cloneNode(true).firstElementChild;
  const box = element.querySelector("input");
  // Strangers wrote this: textContent, never innerHTML.
  element.querySelector("span").textContent = note.text;
  box.checked = note.done;
  box.addEventListener("change", () => change(() => api.update(note.id, { done: box.checked })));
  element.querySelector("button").addEventListener("click", () => change(() => api.remove(note.id)));
  return element;
}

async function refresh() {
  const [all, count] = await Promise.all([api.list(), api.summary()]);
  notes.replaceChildren(...all.map(item));
  document.querySelector("#summary").textContent = count.notes
    ? `${count.open} open, ${count.done} done`
    : "Nothing noted yet";
}

/** Does something to the notes and shows them as the server then has them, done or not. */
async function change(action) {
  problem.textContent = "";
  try {
    await action();
  } catch (error) {
    problem.textContent = error.message;
  }
  await refresh().catch((error) => {
    problem.textContent = error.message;
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  change(async () => {
    await api.add(form.elements.text.value);
    form.reset();
  });
});

change(() => {});
