"use strict";
const settings = JSON.parse(document.getElementById("settings").textContent);
const at = (id) => document.getElementById(id);
const POLL_MS = 700, SHOWN_S = 30, FRAME_WIDTH = 480, ROWS_SHOWN = 500;
const STEPS = { index: "reading", decode: "decoding", faces: "finding faces", mouth: "measuring the mouth", speech: "finding speech",
  embed: "looking at faces", voice: "separating the voice", audio: "listening", results: "writing results" };

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

function complain(text) {
  at("problem").textContent = text;
  at("problem").classList.toggle("hidden", !text);
}

// Uploads one file after the other, so that the progress is that of one file.
let uploads = Promise.resolve();
function upload(file, name = file.name) {
  if (file.size > settings.max_bytes) return complain(`${name} is larger than ${settings.max_bytes.toLocaleString()} bytes.`);
  uploads = uploads.then(() => send(file, name));
  return uploads;
}

function send(file, name) {
  return new Promise((finished) => {
    const bar = make("progress", { max: 1, value: 0 }), row = make("li", { className: "card" }, make("div", {}, name, bar, "uploading"));
    at("recordings").append(row);
    const request = new XMLHttpRequest();
    request.open("PUT", `/recordings?name=${encodeURIComponent(name)}`);
    request.upload.onprogress = (event) => { bar.value = event.total ? event.loaded / event.total : 0; };
    request.onloadend = () => {
      row.remove();
      complain(request.status === 201 ? "" : problemOf(request, name));
      refresh();
      finished();
    };
    request.send(file);
  });
}

function problemOf(request, name) {
  try { return JSON.parse(request.responseText).detail; } catch { return `${name}: the upload was broken off. Is valaro app still running?`; }
}

at("files").onchange = () => { [...at("files").files].forEach((file) => upload(file)); at("files").value = ""; };
for (const kind of ["dragenter", "dragover"]) at("drop").addEventListener(kind, (event) => { event.preventDefault(); at("drop").classList.add("over"); });
for (const kind of ["dragleave", "drop"]) at("drop").addEventListener(kind, () => at("drop").classList.remove("over"));
at("drop").addEventListener("drop", (event) => { event.preventDefault(); [...event.dataTransfer.files].forEach((file) => upload(file)); });

// The list: rows are created once and then updated, so that an opened timeline isn't reloaded.
const rows = new Map();
let timer = 0;
async function refresh() {
  clearTimeout(timer);
  let recordings;
  try {
    const answer = await fetch("/recordings");
    if (!answer.ok) throw new Error(await answer.text());
    recordings = await answer.json();
  } catch (error) {
    complain(`No answer (${error.message}). Is valaro app still running?`);
    timer = setTimeout(refresh, 3000);
    return;
  }
  const ids = new Set(recordings.map((one) => one.id));
  for (const [id, row] of rows) if (!ids.has(id)) { row.element.remove(); rows.delete(id); }
  for (const one of recordings) {
    if (!rows.has(one.id)) rows.set(one.id, newRow(one));
    show(rows.get(one.id), one);
  }
  const busy = recordings.some((one) => one.state === "waiting" || one.state === "running");
  timer = setTimeout(refresh, busy ? POLL_MS : 4 * POLL_MS);
}

function newRow(one) {
  const row = { state: "", bar: make("progress", { max: 1, value: 0 }), text: make("span", { className: "small muted" }) };
  row.bar.setAttribute("aria-label", `Analysis of ${one.name}`);
  row.actions = make("span");
  const remove = make("button", { type: "button", textContent: "Delete", onclick: () => removed(one) });
  remove.setAttribute("aria-label", `Delete ${one.name}`);
  row.element = make("li", { className: "card" }, make("div", {}, make("strong", { textContent: one.name, dir: "auto" }), row.bar, row.text, row.actions, remove));
  at("recordings").append(row.element);
  return row;
}

async function removed(one) {
  await fetch(`/recordings/${one.id}`, { method: "DELETE" });
  refresh();
}

function show(row, one) {
  row.bar.value = one.share;
  if (one.state === "running") row.text.textContent = `${Math.round(100 * one.share)} %, ${STEPS[one.step] || one.step || "starting"}`;
  if (one.state === row.state) return;
  row.state = one.state;
  row.bar.classList.toggle("hidden", one.state === "done" || one.state === "failed");
  if (one.state === "waiting") row.text.textContent = "waiting";
  if (one.state === "failed") {
    row.text.textContent = "";
    row.element.append(make("p", { className: "failed", textContent: one.error }));
  }
  if (one.state === "done") showResults(row, one);
}

function showResults(row, one) {
  const mean = (target) => one.summary[target] && one.summary[target].mean != null ? one.summary[target].mean.toFixed(2).replace("-", "−") : "–";
  row.text.textContent = `${one.summary.duration_s.toFixed(1)} s, face ${Math.round(100 * one.summary.detected_share)} %, mean valence ${mean("valence")}, arousal ${mean("arousal")}`;
  const folder = `/recordings/${one.id}/results/${encodeURIComponent(one.stem)}`;
  const files = one.files.map((name) => make("li", {}, make("a", { href: `${folder}/${encodeURIComponent(name)}?download=true`, textContent: name.slice(one.stem.length + 1) })));
  row.element.append(make("ul", { className: "files" }, make("li", { className: "muted", textContent: "Download:" }), ...files));
  for (const note of one.summary.notes || []) row.element.append(make("p", { className: "small muted", textContent: `Note: ${note}` }));
  const address = (ending) => `${folder}/${encodeURIComponent(`${one.stem}.${ending}`)}`;
  const has = (ending) => one.files.includes(`${one.stem}.${ending}`);
  if (has("html")) row.actions.append(opening("Timeline", row, async () => make("iframe", { src: address("html"), title: `Timeline of ${one.name}` })), " ");
  if (has("csv")) row.actions.append(opening("Table", row, () => tableOf(address("csv"), one.name)));
}

// A button that shows and hides something below the row.
function opening(name, row, build) {
  const button = make("button", { type: "button", textContent: name });
  let shown = null;
  button.setAttribute("aria-expanded", "false");
  button.onclick = async () => {
    if (shown) { shown.remove(); shown = null; }
    else row.element.append(shown = await build());
    button.setAttribute("aria-expanded", String(Boolean(shown)));
  };
  return button;
}

// The rows of a CSV file, evenly thinned if there are many; cells have no commas.
async function tableOf(address, name) {
  const [head, ...lines] = (await (await fetch(address)).text()).trim().split("\n").map((line) => line.split(","));
  const every = Math.ceil(lines.length / ROWS_SHOWN), rows = lines.filter((_, k) => k % every === 0);
  const caption = every > 1 ? `${name}: one row in ${every}; the download has all` : name;
  const cell = (tag) => (text) => make(tag, { textContent: text, className: "number" });
  const body = rows.map((line) => make("tr", {}, ...line.map(cell("td"))));
  const table = make("table", {}, make("caption", { textContent: caption }), make("thead", {}, make("tr", {}, ...head.map(cell("th")))), make("tbody", {}, ...body));
  const scroll = make("div", { className: "scroll rows", tabIndex: 0 }, table);
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `Table of ${name}`);
  return scroll;
}

// The camera: a frame is sent after the answer to the previous one, at most live_fps_hz per second.
const live = { socket: null, stream: null, recorder: null, points: [], began: 0 };
at("start").onclick = async () => {
  try {
    live.stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: true })
      .catch(() => navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } }));
  } catch (error) {
    at("live-now").textContent = `No camera: ${error.message}`;
    return;
  }
  at("camera").srcObject = live.stream;
  await at("camera").play();
  at("start").disabled = true;
  at("stop").disabled = false;
  live.points = [];
  live.began = performance.now();
  if (at("keep").checked) record();
  live.socket = new WebSocket(`ws://${location.host}/live`);
  live.socket.onopen = sendFrame;
  live.socket.onmessage = (event) => answered(JSON.parse(event.data));
  live.socket.onclose = (event) => { if (live.stream) { at("live-now").textContent = event.reason || "The server has closed the connection."; halt(); } };
};
at("stop").onclick = () => { at("live-now").textContent = "The camera is off."; halt(); };

function record() {
  const chunks = [];
  live.recorder = new MediaRecorder(live.stream);
  live.recorder.ondataavailable = (event) => chunks.push(event.data);
  live.recorder.onstop = () => {
    const name = `camera ${new Date().toISOString().slice(0, 19).replaceAll(":", ".")}.webm`;
    if (chunks.length) upload(new Blob(chunks, { type: "video/webm" }), name);
  };
  live.recorder.start(1000);
}

function halt() {
  if (live.recorder && live.recorder.state !== "inactive") live.recorder.stop();
  if (live.stream) live.stream.getTracks().forEach((track) => track.stop());
  live.stream = live.recorder = null;
  if (live.socket) live.socket.close();
  at("camera").srcObject = null;
  at("face").classList.add("hidden");
  at("start").disabled = false;
  at("stop").disabled = true;
}

const shot = document.createElement("canvas");
function sendFrame() {
  const video = at("camera");
  if (!live.stream || live.socket.readyState !== WebSocket.OPEN) return;
  if (!video.videoWidth) { setTimeout(sendFrame, 50); return; }
  const taken = performance.now();
  shot.width = Math.min(FRAME_WIDTH, video.videoWidth);
  shot.height = Math.round(shot.width * video.videoHeight / video.videoWidth);
  shot.getContext("2d").drawImage(video, 0, 0, shot.width, shot.height);
  shot.toBlob(async (blob) => {
    if (!blob || !live.stream || live.socket.readyState !== WebSocket.OPEN) return;
    const time = new Uint8Array(new Float64Array([(taken - live.began) / 1000]).buffer);
    live.sent = taken;
    live.socket.send(new Blob([time, blob]));
  }, "image/jpeg", 0.85);
}

function answered(said) {
  const lag = (performance.now() - live.began) / 1000 - said.time_s;
  live.points.push(said);
  while (live.points.length && live.points[0].time_s < said.time_s - SHOWN_S) live.points.shift();
  const number = (value) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(2);
  const others = said.faces > 1 ? `, ${said.faces} faces` : "";
  at("live-now").textContent = said.box ? `valence ${number(said.valence)}, arousal ${number(said.arousal)}${others}, ${lag.toFixed(1)} s behind` : "No face.";
  at("live-now").dataset.lag = lag.toFixed(3);
  const face = at("face");
  face.classList.toggle("hidden", !said.box);
  if (said.box) {
    const [left, top, right, bottom] = said.box.map((share) => 100 * share);
    Object.assign(face.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  }
  draw();
  setTimeout(sendFrame, Math.max(0, 1000 / settings.live_fps_hz - (performance.now() - live.sent)));
}

function draw() {
  const canvas = at("curve"), context = canvas.getContext("2d"), colours = getComputedStyle(document.documentElement);
  const last = live.points.length ? live.points[live.points.length - 1].time_s : 0, begin = Math.max(0, last - SHOWN_S);
  const x = (time) => (time - begin) / SHOWN_S * canvas.width, y = (value) => (1 - value) / 2 * (canvas.height - 8) + 4;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = colours.getPropertyValue("--rule");
  context.lineWidth = 1;
  for (const level of [-1, 0, 1]) { context.beginPath(); context.moveTo(0, y(level)); context.lineTo(canvas.width, y(level)); context.stroke(); }
  context.lineWidth = 2;
  for (const target of ["valence", "arousal"]) {
    context.strokeStyle = colours.getPropertyValue(`--${target}`);
    context.beginPath();
    let drawing = false;
    for (const point of live.points) {
      if (point[target] == null) { drawing = false; continue; }
      if (drawing) context.lineTo(x(point.time_s), y(point[target])); else context.moveTo(x(point.time_s), y(point[target]));
      drawing = true;
    }
    context.stroke();
  }
}

draw();
refresh();
