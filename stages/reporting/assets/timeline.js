"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const html = (name, className = "", text = "") => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };
  const TARGETS = ["valence", "arousal"];
  const TRAIL_S = 2;
  const duration = Math.max(page.duration, 0.1);
  const view = { from: 0, to: duration };

  // ---- the time: of the video, or of a clock without a video that the browser can play
  const video = $("video");
  const clock = {
    at: 0, started: null,
    get currentTime() { return this.started === null ? this.at : Math.min(duration, this.at + (performance.now() - this.started) / 1000); },
    set currentTime(t) { this.at = t; if (this.started !== null) this.started = performance.now(); },
    get paused() { return this.started === null || this.currentTime >= duration; },
    play() { if (this.currentTime >= duration) this.at = 0; this.started = performance.now(); },
    pause() { this.at = this.currentTime; this.started = null; },
  };
  let player = video || clock;
  // Time of the first frame on the video's own clock: sound may begin before the picture. Taken from the browser
  // if it reports the time of the first frame, else from the file.
  let start = page.start;
  const now = () => Math.min(Math.max((player.currentTime || 0) - start, 0), duration);
  const withoutVideo = () => {
    if (player === clock) return;
    clock.at = now();
    player = clock;
    start = 0;
    video.classList.add("hidden");
    $("no-video").classList.remove("hidden");
    document.body.dataset.player = "clock";
    draw();
  };
  document.body.dataset.player = video ? "video" : "clock";
  // The video may have moved: try a file of its name, or the film with the results, beside the page.
  const elsewhere = [...page.beside];
  const next = () => {
    const source = elsewhere.shift();
    if (!source) return withoutVideo();
    document.body.dataset.film = String(source.film); // a film has its boxes in the picture
    start = source.film ? 0 : page.start; // a film begins with its first frame
    video.src = source.address;
  };
  if (video) {
    video.addEventListener("error", next);
    video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) withoutVideo(); });
    if (video.error) next();
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((_, frame) => { if (video.currentTime === 0) start = frame.mediaTime; });
    for (const name of ["seeked", "timeupdate", "pause", "play", "loadeddata"]) video.addEventListener(name, () => draw());
  }
  const seek = (t) => { player.currentTime = start + Math.min(Math.max(t, 0), duration - 1e-3); follow(now()); draw(); };
  const toggle = () => {
    if (player.paused) { const begun = player.play(); if (begun) begun.catch(() => {}); } else player.pause();
    draw();
  };

  // ---- curves and lanes, drawn once; zooming changes the view box only
  const path = (t, y) => {
    let text = "", pen = false;
    for (let i = 0; i < t.length; i++) {
      if (y[i] === null) { pen = false; continue; }
      text += `${pen ? "L" : "M"}${t[i]} ${-y[i]}`;
      pen = true;
    }
    return text;
  };
  const area = (d) => {
    let text = "", run = [];
    const close = () => {
      const up = run.map((i) => `${d.t[i]} ${-d.high[i]}`), down = run.map((i) => `${d.t[i]} ${-d.low[i]}`).reverse();
      if (run.length) text += `M${up.join("L")}L${down.join("L")}Z`;
      run = [];
    };
    for (let i = 0; i < d.t.length; i++) if (d.low[i] === null || d.high[i] === null) close(); else run.push(i);
    close();
    return text;
  };
  const tracks = $("timeline"), labels = $("labels"), charts = [];
  const drawn = page.curves.map(() => []);
  const face = page.bands.find((band) => band.name === "no face");
  TARGETS.forEach((target, column) => {
    const svg = make("svg", { class: `target of-${target}`, preserveAspectRatio: "none", role: "img", "aria-label": `${target} over time` });
    for (const [start, end] of face ? face.spans : []) svg.append(make("rect", { class: "shade", x: start, y: -1.05, width: end - start, height: 2.1 }));
    for (const level of [-0.5, 0.5]) svg.append(make("line", { class: "gridline", x1: 0, x2: duration, y1: level, y2: level }));
    svg.append(make("line", { class: "zero", x1: 0, x2: duration, y1: 0, y2: 0 }));
    [...page.curves.keys()].reverse().forEach((k) => {
      const curve = page.curves[k], d = curve.targets[column], group = make("g");
      if (d.low) group.append(make("path", { class: `interval look-${curve.look}`, d: area(d) }));
      group.append(make("path", { class: `curve look-${curve.look}`, d: path(d.t, d.y) }));
      svg.append(group);
      drawn[k].push(group);
    });
    charts.push(svg);
    tracks.append(svg);
    const row = html("div", "row-target"), name = html("span", `target-name of-${target}`, target);
    name.append(html("small", "", column ? "calm to excited" : "negative to positive"));
    row.append(html("span", "end high", "+1"), name, html("span", "end low", "−1"));
    labels.append(row);
  });
  for (const band of page.bands) {
    const svg = make("svg", { class: `lane ${band.name.replace(/ /g, "-")}`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${band.name}: ${band.spans.length} stretches` });
    for (const [start, end] of band.spans) svg.append(make("rect", { x: start, y: -1.05, width: end - start, height: 2.1 }));
    charts.push(svg);
    tracks.append(svg);
    const row = html("div", "row-lane");
    row.append(html("span", "lane-name", band.name));
    labels.append(row);
  }
  labels.append(html("div", "row-axis"));
  const axis = html("div", "time-axis"), cursor = html("div", "cursor");
  cursor.id = "cursor";
  tracks.append(axis, cursor);

  const spoken = (t, digits = 1) => {
    const cut = Math.floor(t * 10 ** digits + 1e-6) / 10 ** digits, minutes = Math.floor(cut / 60), hours = Math.floor(minutes / 60);
    const seconds = (cut - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    return hours ? `${hours}:${String(minutes - 60 * hours).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
  };
  const showView = () => {
    const span = view.to - view.from;
    for (const svg of charts) svg.setAttribute("viewBox", `${view.from} -1.05 ${span} 2.1`);
    const wanted = Math.max(2, Math.floor(tracks.clientWidth / 90));
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600].find((s) => span / s <= wanted) || span;
    axis.replaceChildren();
    for (let k = Math.ceil(view.from / step - 1e-9); k * step <= view.to + 1e-9; k++) {
      const share = (k * step - view.from) / span, tick = html("span", "", spoken(k * step, step < 1 ? 1 : 0));
      if (share < 0.03) tick.classList.add("first"); else if (share > 0.97) tick.classList.add("last");
      tick.style.left = `${100 * share}%`;
      axis.append(tick);
    }
    $("zoom-in").disabled = span <= 2;
    $("zoom-out").disabled = span >= duration;
    $("zoom-name").textContent = span >= duration ? "whole video" : `${span.toFixed(span < 10 ? 1 : 0)} s shown`;
  };
  const zoom = (factor) => {
    const span = Math.min(duration, Math.max(Math.min(2, duration), (view.to - view.from) * factor));
    view.from = Math.min(Math.max(0, now() - span / 2), duration - span);
    view.to = view.from + span;
    showView();
    draw();
  };
  const follow = (t) => {
    const span = view.to - view.from;
    if (t >= view.from && t <= view.to) return;
    view.from = Math.min(Math.max(0, t - span / 10), duration - span);
    view.to = view.from + span;
    showView();
  };

  // ---- the plane of valence and arousal
  const S = 300, PAD = 26, at = (v) => PAD + ((v + 1) / 2) * (S - 2 * PAD);
  const plane = make("svg", { viewBox: `0 0 ${S} ${S}`, role: "img", "aria-label": "Plane of valence (across) and arousal (up), with the last two seconds as a trail" });
  plane.append(make("rect", { class: "field", x: PAD, y: PAD, width: S - 2 * PAD, height: S - 2 * PAD, rx: 4 }));
  for (const level of [-0.5, 0.5]) {
    plane.append(make("line", { class: "gridline", x1: at(level), x2: at(level), y1: PAD, y2: S - PAD }));
    plane.append(make("line", { class: "gridline", y1: at(level), y2: at(level), x1: PAD, x2: S - PAD }));
  }
  plane.append(make("line", { class: "axis", x1: PAD, x2: S - PAD, y1: S / 2, y2: S / 2 }), make("line", { class: "axis", y1: PAD, y2: S - PAD, x1: S / 2, x2: S / 2 }));
  const word = (x, y, anchor, text, turn = "") => plane.append(make("text", { x, y, "text-anchor": anchor, ...(turn && { transform: turn }) }, text));
  word(S / 2, PAD - 9, "middle", "excited");
  word(S / 2, S - 9, "middle", "calm");
  word(16, S / 2, "middle", "negative", `rotate(-90 16 ${S / 2})`);
  word(S - 16, S / 2, "middle", "positive", `rotate(90 ${S - 16} ${S / 2})`);
  const layer = make("g");
  plane.append(layer);
  $("plane").append(plane);
  const trails = page.curves.map((curve) => {
    const group = make("g", { class: `look-${curve.look}` });
    const parts = [0.2, 0.45, 0.8].map((opacity) => make("polyline", { class: "trail", opacity }));
    const dot = make("circle", { class: curve.look === "truth" ? "hollow" : "mark", r: curve.look === "truth" ? 6.5 : 5 });
    group.append(...parts, dot);
    return { group, parts, dot };
  });
  [...trails].reverse().forEach(({ group }) => layer.append(group));

  const valueAt = (d, t) => {
    let low = 0, high = d.t.length - 1;
    if (high < 0 || t < d.t[0] - 1 || t > d.t[high] + 1) return null;
    while (high - low > 1) { const middle = (low + high) >> 1; if (d.t[middle] <= t) low = middle; else high = middle; }
    if (d.t[high] <= t) low = high;
    if (d.y[low] === null || d.y[high] === null) return Math.abs(t - d.t[low]) <= Math.abs(d.t[high] - t) ? d.y[low] : d.y[high];
    const share = d.t[high] > d.t[low] ? Math.min(1, Math.max(0, (t - d.t[low]) / (d.t[high] - d.t[low]))) : 0;
    return d.y[low] + share * (d.y[high] - d.y[low]);
  };
  const signed = (v) => (v === null ? "–" : `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(2)}`);

  // ---- the legend: one row per curve, with the values at the cursor
  const shown = page.curves.map((curve) => curve.shown);
  const cells = page.curves.map((curve, k) => {
    const row = html("tr"), name = html("th"), button = html("button", "toggle");
    const swatch = make("svg", { class: `swatch look-${curve.look}`, viewBox: "0 0 26 10", "aria-hidden": "true" });
    const one = curve.look !== "fused" && curve.look !== "other";
    if (one) swatch.append(make("line", { x1: 0, x2: 26, y1: 5, y2: 5 }));
    else for (const [target, y] of [["valence", 2.5], ["arousal", 7.5]]) swatch.append(make("line", { class: target, x1: 0, x2: 26, y1: y, y2: y }));
    name.scope = "row";
    button.type = "button";
    const words = html("span");
    for (const part of curve.name.split(/(?<=_)/)) words.append(part, html("wbr"));
    button.append(swatch, words);
    button.addEventListener("click", () => { shown[k] = !shown[k]; showCurves(); draw(); });
    name.append(button);
    const values = [html("td", "number"), html("td", "number")];
    row.append(name, ...values);
    $("legend").append(row);
    return { button, values };
  });
  const showCurves = () => page.curves.forEach((_, k) => {
    cells[k].button.setAttribute("aria-pressed", String(shown[k]));
    for (const group of [...drawn[k], trails[k].group]) group.classList.toggle("hidden", !shown[k]);
  });

  // ---- the face's box over the picture
  const box = page.boxes && video ? html("div", "face-box hidden") : null;
  if (box) $("screen").append(box);
  const drawBox = (t) => {
    if (!box) return;
    const times = page.boxes.t;
    let low = 0, high = times.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (times[middle] <= t) low = middle; else high = middle; }
    const edges = page.boxes.xyxy[Math.abs(times[low] - t) <= Math.abs(times[high] - t) ? low : high];
    const there = player === video && document.body.dataset.film !== "true" && video.videoWidth && edges && edges[0] !== null;
    box.classList.toggle("hidden", !there);
    if (!there) return;
    const scale = Math.min(video.clientWidth / video.videoWidth, video.clientHeight / video.videoHeight);
    const width = video.videoWidth * scale, height = video.videoHeight * scale;
    const left = video.offsetLeft + (video.clientWidth - width) / 2, top = video.offsetTop + (video.clientHeight - height) / 2;
    box.style.left = `${left + edges[0] * width}px`;
    box.style.top = `${top + edges[1] * height}px`;
    box.style.width = `${(edges[2] - edges[0]) * width}px`;
    box.style.height = `${(edges[3] - edges[1]) * height}px`;
  };

  // ---- faces
  const faces = [...document.querySelectorAll("#strip img")];
  const faceTimes = faces.map((image) => Number(image.dataset.time));
  let nearestFace = -1;
  const drawFaces = (t) => {
    if (!faces.length) return;
    let nearest = 0;
    faceTimes.forEach((time, k) => { if (Math.abs(time - t) < Math.abs(faceTimes[nearest] - t)) nearest = k; });
    if (nearest === nearestFace) return;
    if (nearestFace >= 0) faces[nearestFace].classList.remove("now");
    nearestFace = nearest;
    const image = faces[nearest], strip = $("strip");
    image.classList.add("now");
    strip.scrollLeft = image.offsetLeft - strip.clientWidth / 2 + image.clientWidth / 2;
  };

  let last = null;
  const draw = () => {
    const t = now();
    if (!player.paused) follow(t);
    const share = (t - view.from) / (view.to - view.from);
    cursor.style.left = `${100 * share}%`;
    cursor.classList.toggle("hidden", share < 0 || share > 1);
    $("play").textContent = player.paused ? "Play" : "Pause";
    if (t !== last) {
      last = t;
      $("clock").textContent = `${spoken(t)} / ${spoken(duration)}`;
      tracks.setAttribute("aria-valuenow", t.toFixed(1));
      tracks.setAttribute("aria-valuetext", `${t.toFixed(1)} seconds of ${duration.toFixed(1)}`);
    }
    page.curves.forEach((curve, k) => {
      const [valence, arousal] = curve.targets.map((d) => valueAt(d, t));
      cells[k].values[0].textContent = signed(valence);
      cells[k].values[1].textContent = signed(arousal);
      const { parts, dot } = trails[k];
      dot.classList.toggle("hidden", valence === null || arousal === null);
      if (valence !== null && arousal !== null) { dot.setAttribute("cx", at(valence)); dot.setAttribute("cy", at(-arousal)); }
      parts.forEach((part, i) => {
        const points = [];
        for (let j = 0; j <= 12; j++) {
          const when = t - TRAIL_S * (1 - (i + j / 12) / 3);
          const [v, a] = when < 0 ? [null, null] : curve.targets.map((d) => valueAt(d, when));
          if (v !== null && a !== null) points.push(`${at(v).toFixed(1)},${at(-a).toFixed(1)}`);
        }
        part.setAttribute("points", points.join(" "));
      });
    });
    drawBox(t);
    drawFaces(t);
  };
  const tick = () => { if (!player.paused) draw(); else if ($("play").textContent !== "Play") draw(); requestAnimationFrame(tick); };

  // ---- mouse and keyboard
  $("play").addEventListener("click", toggle);
  $("zoom-in").addEventListener("click", () => zoom(0.5));
  $("zoom-out").addEventListener("click", () => zoom(2));
  const timeOf = (event) => {
    const place = tracks.getBoundingClientRect();
    return view.from + Math.min(1, Math.max(0, (event.clientX - place.left) / place.width)) * (view.to - view.from);
  };
  tracks.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    tracks.setPointerCapture(event.pointerId);
    seek(timeOf(event));
  });
  tracks.addEventListener("pointermove", (event) => { if (tracks.hasPointerCapture(event.pointerId)) seek(timeOf(event)); });
  faces.forEach((image, k) => image.addEventListener("click", () => seek(faceTimes[k])));
  const stepFace = (step) => seek(faceTimes[Math.min(Math.max(nearestFace + step, 0), faces.length - 1)]);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target, button = on.tagName === "BUTTON" || on.tagName === "A", own = on === video;
    const step = event.shiftKey ? 0.1 : 1;
    const onStrip = on.id === "strip" && (event.key === "ArrowLeft" || event.key === "ArrowRight");
    if (onStrip) stepFace(event.key === "ArrowLeft" ? -1 : 1);
    else if (event.key === " " && !button && !own) toggle();
    else if (event.key === "ArrowLeft" && !own) seek(now() - step);
    else if (event.key === "ArrowRight" && !own) seek(now() + step);
    else if (event.key === "Home" && !own) seek(0);
    else if (event.key === "End" && !own) seek(duration);
    else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else return;
    event.preventDefault();
  });
  addEventListener("resize", () => { showView(); draw(); });

  tracks.setAttribute("aria-valuemax", duration.toFixed(1));
  showCurves();
  showView();
  draw();
  requestAnimationFrame(tick);
})();
