"use strict";

const SHOWN = 10;
const at = (id) => document.getElementById(id);
const percent = (value) => (100 * value).toFixed(1) + "%";

function bar(share, kind) {
  const outer = document.createElement("span");
  outer.className = "bar " + kind;
  const inner = document.createElement("i");
  inner.style.width = 100 * share + "%";
  outer.append(inner);
  return outer;
}

function row(name, value, bars) {
  const item = document.createElement("li");
  const label = document.createElement("span");
  label.className = "name";
  label.textContent = name;
  const number = document.createElement("span");
  number.className = "value";
  number.textContent = value;
  item.append(label, number, ...bars);
  return item;
}

function show(found) {
  const best = found.classes[0];
  at("verdict").textContent = best.name + ", " + percent(best.probability);
  at("row").textContent = best.name;
  at("classes").replaceChildren(...found.classes.slice(0, SHOWN).map((one) =>
    row(one.name, percent(one.probability), [bar(one.probability, "seen")])));
  const others = found.classes.slice(SHOWN);
  const left = others.reduce((sum, one) => sum + one.probability, 0);
  at("others").textContent = others.length ? others.length + " more, together " + percent(left) : "";
  const most = Math.max(...found.categories.flatMap((one) => [one.probability, one.relationship]));
  at("categories").replaceChildren(...found.categories.map((one) =>
    row(one.name, percent(one.probability) + " / " + percent(one.relationship),
      [bar(one.probability / most, "seen"), bar(one.relationship / most, "taught")])));
  at("found").hidden = false;
}

function complain(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = text === "";
  if (text) at("found").hidden = true;
}

let asked = new AbortController();

async function classify(file) {
  asked.abort();
  const mine = asked = new AbortController();
  complain("");
  at("drop").classList.add("busy");
  URL.revokeObjectURL(at("picture").src);
  at("picture").src = URL.createObjectURL(file);
  at("picture").hidden = false;
  const form = new FormData();
  form.append("image", file);
  try {
    const answer = await fetch("predict", { method: "POST", body: form, signal: mine.signal });
    const found = await answer.json();
    if (mine !== asked) return;
    if (answer.ok) show(found);
    else { at("picture").hidden = true; complain(found.detail); }
  } catch (error) {
    if (mine !== asked) return;
    complain("The server does not answer.");
  }
  at("drop").classList.remove("busy");
}

// Of a TIFF, say, which the server reads and the browser does not.
at("picture").addEventListener("error", () => { at("picture").hidden = true; });
at("file").addEventListener("change", (event) => {
  if (event.target.files.length) classify(event.target.files[0]);
  event.target.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
  });
}
document.addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length) classify(event.dataTransfer.files[0]);
});
fetch("model").then((answer) => answer.json()).then((model) => {
  at("model").textContent = model.method + " on " + model.source_model + ", " +
    model.classes.length + " classes, temperature " + model.temperature.toFixed(2);
});
