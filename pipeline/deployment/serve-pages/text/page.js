"use strict";

const PAUSE = 300; // milliseconds after the last key
const at = (id) => document.getElementById(id);

function complain(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = text === "";
  if (text) at("found").hidden = true;
}

function marked(words, entity) {
  const mark = document.createElement("mark");
  mark.textContent = words.join(" ");
  const what = document.createElement("small");
  what.textContent = entity.type + " " + (100 * entity.probability).toFixed(0) + "%";
  mark.append(what);
  return mark;
}

function drawn(line, entities) {
  const shown = document.createElement("p");
  const words = line.trim().split(/\s+/);
  let next = 0;
  for (const one of entities) {
    shown.append(words.slice(next, one.first).join(" ") + " ");
    shown.append(marked(words.slice(one.first, one.end), one), " ");
    next = one.end;
  }
  shown.append(words.slice(next).join(" "));
  return shown;
}

function show(text, entities) {
  const count = entities.length;
  at("verdict").textContent = count === 1 ? "1 entity" : count + " entities";
  const lines = text.split("\n").map((line, place) => [line, place + 1]);
  at("lines").replaceChildren(...lines.filter(([line]) => line.trim()).map(([line, number]) =>
    drawn(line, entities.filter((one) => one.line === number))));
  at("found").hidden = false;
}

let asked = new AbortController();

async function find(text) {
  asked.abort();
  const mine = asked = new AbortController();
  complain("");
  if (!text.trim()) { at("found").hidden = true; return; }
  try {
    const sent = { method: "POST", body: text, headers: { "Content-Type": "text/plain" } };
    const answer = await fetch("predict", { ...sent, signal: mine.signal });
    const found = await answer.json();
    if (mine !== asked) return;
    if (answer.ok) show(text, found.entities);
    else complain(found.detail);
  } catch (error) {
    if (mine === asked) complain("The server does not answer.");
  }
}

let waiting = 0;
at("text").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => find(at("text").value), PAUSE);
});
fetch("model").then((answer) => answer.json()).then((model) => {
  at("model").textContent = model.method + " on " + model.source_model + ": " +
    model.types.join(", ");
});
