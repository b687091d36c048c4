// The page: its three parts, what is shown of a clip, and what keys and buttons do.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const state = { answers: null, place: 0, active: 0 };
const player = new Player(showPlaying);

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function show(part) {
  for (const id of ["intro", "clip", "end"]) at(id).hidden = id !== part;
  tell("");
  at(part).querySelector("h1").focus();
}

function tell(words) {
  at("told").textContent = words;
}

function clip() {
  return state.answers.clips[state.place];
}

// The start

function showIntro() {
  at("criteria").replaceChildren(
    ...data.questions.map((question) => made("li", {}, made("b", {}, question.words), ` ${question.help}`)),
  );
  const codes = Answers.codes(data.study);
  at("resume").hidden = !codes.length;
  at("resume").lastElementChild.replaceChildren(
    ...codes.map((code) => {
      const answers = new Answers(data, code);
      const button = made("button", {}, `Go on as ${code} (${answers.count()} of ${data.clips.length})`);
      button.addEventListener("click", () => enter(code));
      return made("li", {}, button);
    }),
  );
  show("intro");
  at("code").focus();
}

function enter(code) {
  state.answers = new Answers(data, code);
  state.answers.save();
  const open = state.answers.clips.findIndex((one) => state.answers.open(one) >= 0);
  if (open < 0) showEnd();
  else showClip(open);
}

// A clip

function showClip(place) {
  state.place = place;
  const one = clip();
  at("where").textContent = `Clip ${place + 1} of ${data.clips.length}`;
  at("back").disabled = place === 0;
  at("source-caption").textContent = one.before;
  at("target-caption").replaceChildren(...tagged(one));
  at("things").replaceChildren(
    ...one.instances.map((thing, index) =>
      made("li", {}, badge(one, index + 1), made("span", {}, made("s", {}, thing.before), " → ", thing.after)),
    ),
  );
  const order = state.answers.orders[one.id];
  const cells = [
    cell("Source", one.source, "given"),
    cell("What to change", one.mattes, "given"),
    ...order.map((video, index) => cell(`${index + 1}`, video, "choice")),
  ];
  at("videos").replaceChildren(...cells);
  at("questions").replaceChildren(...data.questions.map((question, index) => fieldset(question, index, order)));
  show("clip");
  activate(Math.max(0, state.answers.open(one)));
  showAnswers();
  fit();
  start(one, cells.map((figure) => figure.querySelector("video")), [one.source, one.mattes, ...order]);
}

async function start(one, videos, names) {
  try {
    await player.load(videos, names.map((name) => `videos/${name}.mp4`), one.frames, one.rate);
  } catch (error) {
    if (clip() === one) tell(`A video could not be loaded (${error.message}). Reload the page to try again; your answers are kept.`);
    return;
  }
  if (clip() === one && !matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
}

// The target caption, with the words of each thing under its badge and colour.
function tagged(one) {
  const parts = [];
  let rest = 0;
  for (const match of one.after.matchAll(/<(\d+)>(.*?)<\/\1>/g)) {
    parts.push(one.after.slice(rest, match.index));
    const words = made("span", { class: "words" }, badge(one, Number(match[1])), match[2]);
    words.style.setProperty("--colour", one.instances[match[1] - 1].colour);
    parts.push(words);
    rest = match.index + match[0].length;
  }
  return [...parts, one.after.slice(rest)];
}

function badge(one, number) {
  const element = made("i", { class: "badge" }, `${number}`);
  const colour = one.instances[number - 1].colour;
  const [red, green, blue] = [1, 3, 5].map((start) => (parseInt(colour.slice(start, start + 2), 16) / 255) ** 2.2);
  const bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  element.style.background = colour;
  element.style.color = bright > 0.179 ? "#000" : "#fff";
  return element;
}

function cell(title, name, kind) {
  const video = made("video", { "aria-label": kind === "choice" ? `Video ${title}` : title, preload: "auto", playsinline: "" });
  video.muted = true;
  const figure = made("figure", { class: kind, "data-video": name }, video);
  figure.append(made("figcaption", {}, made("b", {}, title), made("span", { class: "chosen" })));
  return figure;
}

function fieldset(question, index, order) {
  const radios = order.map((video, place) => {
    const input = made("input", { type: "radio", name: question.name, value: video, "aria-label": `Video ${place + 1}` });
    input.checked = state.answers.choice(clip(), question.name) === video;
    input.addEventListener("change", () => choose(index, video));
    return made("label", {}, input, made("span", {}, `${place + 1}`));
  });
  const set = made("fieldset", { tabindex: "-1" }, made("legend", {}, question.words));
  set.append(made("div", { class: "radios" }, ...radios));
  set.addEventListener("focusin", () => activate(index));
  return set;
}

function activate(index) {
  state.active = index;
  [...at("questions").children].forEach((set, place) => set.classList.toggle("active", place === index));
}

function choose(index, video) {
  state.answers.choose(clip(), data.questions[index].name, video);
  at("questions").children[index].querySelector(`[value="${video}"]`).checked = true;
  tell(state.answers.lasting ? "" : "This browser keeps nothing: do not close this tab before you have handed in your answers.");
  showAnswers();
}

// What was chosen so far, under the videos and in the head.
function showAnswers() {
  for (const figure of at("videos").children) {
    const chosen = data.questions.filter(({ name }) => state.answers.choice(clip(), name) === figure.dataset.video);
    figure.querySelector(".chosen").textContent = chosen.map(({ short }) => short).join(" · ");
  }
  const count = state.answers.count();
  Object.assign(at("progress"), { max: data.clips.length, value: count });
  at("answered").textContent = `${count} answered`;
}

function showPlaying() {
  at("frame").textContent = `Frame ${player.frame + 1} of ${player.frames}`;
  at("play").firstElementChild.textContent = player.playing ? "Pause" : "Play";
}

// As many columns as make the videos largest within the window; below a least size the page scrolls.
function fit() {
  if (at("clip").hidden) return;
  const [count, aspect, gap, label, least] = [at("videos").children.length, clip().aspect, 10, 22, 150];
  const [header, footer] = ["header", "footer"].map((part) => at("clip").querySelector(part).offsetHeight);
  const [across, down] = [at("videos").clientWidth, Math.max(330, innerHeight - header - footer - 20)];
  const rows = (columns) => Math.ceil(count / columns);
  const width = (columns) => {
    const height = Math.max(least, (down - gap * (rows(columns) - 1)) / rows(columns) - label);
    return Math.floor(Math.min((across - gap * (columns - 1)) / columns, height * aspect));
  };
  const better = (one, other) => width(one) - width(other) || rows(other) - rows(one);
  const columns = [...Array(count).keys()].map((index) => index + 1);
  const best = columns.reduce((one, other) => (better(other, one) > 0 ? other : one));
  const style = at("stage").style;
  style.setProperty("--columns", best);
  style.setProperty("--width", `${width(best)}px`);
  style.setProperty("--aspect", aspect);
  style.setProperty("--height", `${down}px`);
}

function next() {
  const open = state.answers.open(clip());
  if (open >= 0) {
    at("questions").children[open].focus();
    tell(`Question ${open + 1} has no answer yet.`);
  } else if (state.place + 1 < data.clips.length) showClip(state.place + 1);
  else finish();
}

function back() {
  if (state.place > 0) showClip(state.place - 1);
}

// The end

function finish() {
  const open = state.answers.clips.findIndex((one) => state.answers.open(one) >= 0);
  if (open < 0) showEnd();
  else showClip(open);
}

function showEnd() {
  player.pause();
  at("result").value = state.answers.result();
  show("end");
}

function download() {
  const url = URL.createObjectURL(new Blob([state.answers.result()], { type: "application/json" }));
  made("a", { href: url, download: `${data.study}-${state.answers.code}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  tell("Downloaded.");
}

async function copy() {
  try {
    await navigator.clipboard.writeText(state.answers.result());
  } catch {
    // Not every browser has a clipboard for pages from disk.
    at("result").select();
    if (!document.execCommand("copy")) {
      tell("Copying is not allowed here: the text is selected, copy it by hand.");
      return;
    }
  }
  tell("Copied.");
}

function pressed(event) {
  if (at("clip").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
  const on = event.target.closest("button, input");
  const key = event.key.toLowerCase();
  const moves = { arrowup: -1, arrowdown: 1 };
  if (/^[1-9]$/.test(key)) {
    const video = state.answers.orders[clip().id][Number(key) - 1];
    if (!video) return;
    choose(state.active, video);
    at("questions").children[Math.min(state.active + 1, data.questions.length - 1)].focus();
  } else if (key in moves && on?.type !== "radio") {
    const last = data.questions.length - 1;
    at("questions").children[Math.min(last, Math.max(0, state.active + moves[key]))].focus();
  } else if (key === "enter" && on?.tagName !== "BUTTON") next();
  else if (key === "b") back();
  else if (key === "p" || (key === " " && !on)) turn();
  else if (key === ",") player.step(-1);
  else if (key === ".") player.step(1);
  else return;
  event.preventDefault();
}

function turn() {
  if (player.playing) player.pause();
  else player.play();
}

at("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = at("code").value.trim();
  const fits = /^[\w-]{1,32}$/.test(code);
  at("code-error").textContent = fits ? "" : "Please enter a code of letters, digits, dashes or underscores.";
  at("code").setAttribute("aria-invalid", String(!fits));
  if (fits) enter(code);
  else at("code").focus();
});
at("next").addEventListener("click", next);
at("back").addEventListener("click", back);
at("play").addEventListener("click", turn);
at("before").addEventListener("click", () => player.step(-1));
at("after").addEventListener("click", () => player.step(1));
at("download").addEventListener("click", download);
at("copy").addEventListener("click", copy);
at("again").addEventListener("click", () => showClip(0));
document.addEventListener("keydown", pressed);
addEventListener("resize", fit);
showIntro();
