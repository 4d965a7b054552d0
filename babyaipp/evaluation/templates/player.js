"use strict";
(() => {
  const reel = JSON.parse(document.getElementById("reel").textContent);
  const player = document.getElementById("player");
  if (!reel.films.length) return;
  const part = (name) => document.getElementById(name);
  const canvas = part("canvas"), slider = part("slider"), chooser = part("film"), pen = canvas.getContext("2d");
  const kinds = Object.fromEntries(Object.entries(reel.types).map(([name, number]) => [number, name]));
  const facing = ["right", "down", "left", "up"];
  let film, frame = 0, timer = 0;

  const paint = (color, shade = 1) => `rgb(${reel.rgb[color].map((level) => Math.round(level * shade)).join(" ")})`;
  const thingName = (thing) => `${reel.colors[(thing >> 3) & 7]} ${kinds[thing & 7]}`;
  const latest = (list, at) => list.filter(([when]) => when <= at).at(-1);

  // What there is in a frame: the things of the start, and all changes up to then.
  function thingsAt(at) {
    const things = film.things.match(/../g).map((digits) => parseInt(digits, 16));
    for (const [when, cell, thing] of film.changes) if (when <= at) things[cell] = thing;
    return things;
  }

  function box(x, y, width, height) { pen.fillRect(x, y, width, height); }

  function disc(x, y, radius) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  }

  function drawTile(color) {
    pen.fillStyle = paint(color, 0.3);
    box(0.03, 0.03, 0.97, 0.97);
    for (const [x, y, shade] of [[0.08, 0.08, 0.7], [0.54, 0.54, 0.7], [0.54, 0.08, 0.5], [0.08, 0.54, 0.5]]) {
      pen.fillStyle = paint(color, shade);
      box(x, y, 0.42, 0.42);
    }
  }

  const draw = {
    wall(color) {
      pen.fillStyle = paint(color);
      box(0, 0, 1, 1);
    },
    ball(color) {
      pen.fillStyle = "#000";
      disc(0.5, 0.5, 0.36);
      pen.fillStyle = paint(color);
      disc(0.5, 0.5, 0.31);
    },
    box(color) {
      pen.fillStyle = "#000";
      box(0.09, 0.09, 0.82, 0.82);
      pen.fillStyle = paint(color);
      box(0.14, 0.14, 0.72, 0.72);
      pen.fillStyle = "#000";
      box(0.22, 0.22, 0.56, 0.24);
      box(0.22, 0.54, 0.56, 0.24);
    },
    key(color) {
      for (const [fill, more] of [["#000", 0.04], [paint(color), 0]]) {
        pen.fillStyle = fill;
        disc(0.54, 0.28, 0.18 + more);
        box(0.48 - more, 0.3, 0.13 + 2 * more, 0.58 + more);
        box(0.36 - more, 0.6 - more, 0.16, 0.09 + 2 * more);
        box(0.36 - more, 0.78 - more, 0.16, 0.1 + 2 * more);
      }
      pen.fillStyle = "#000";
      disc(0.54, 0.28, 0.07);
    },
    door(color, state) {
      pen.fillStyle = paint(color);
      if (state === 0) {
        box(0.86, 0, 0.14, 1);
        return;
      }
      box(0, 0, 1, 1);
      pen.fillStyle = state === 2 ? paint(color, 0.45) : "#000";
      box(0.07, 0.07, 0.86, 0.86);
      pen.fillStyle = paint(color);
      if (state === 2) {
        box(0.54, 0.46, 0.24, 0.08);
      } else {
        pen.lineWidth = 0.05;
        pen.strokeStyle = paint(color);
        pen.strokeRect(0.15, 0.15, 0.7, 0.7);
        disc(0.73, 0.5, 0.07);
      }
    },
  };

  function drawAgent(direction) {
    pen.translate(0.5, 0.5);
    pen.rotate((direction * Math.PI) / 2);
    pen.beginPath();
    pen.moveTo(0.37, 0);
    pen.lineTo(-0.36, 0.31);
    pen.lineTo(-0.36, -0.31);
    pen.closePath();
    pen.lineJoin = "round";
    pen.lineWidth = 0.1;
    pen.strokeStyle = "#000";
    pen.stroke();
    pen.fillStyle = "#ff4040";
    pen.fill();
  }

  function drawWorld() {
    const side = Math.max(8, Math.floor(960 / Math.max(film.width, film.height)));
    canvas.width = side * film.width;
    canvas.height = side * film.height;
    const pose = film.poses[frame], here = pose >> 2;
    thingsAt(frame).forEach((thing, cell) => {
      pen.setTransform(side, 0, 0, side, side * (cell % film.width), side * Math.floor(cell / film.width));
      pen.fillStyle = "#3a3a3a";
      box(0, 0, 1, 1);
      pen.fillStyle = "#000";
      box(0.03, 0.03, 0.97, 0.97);
      if (film.tiles[cell] !== ".") drawTile(Number(film.tiles[cell]));
      if (thing) draw[kinds[thing & 7]]((thing >> 3) & 7, thing >> 6);
      if (cell === here) drawAgent(pose & 3);
    });
  }

  function item(text, color) {
    const line = document.createElement("li");
    if (color !== undefined) {
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.backgroundColor = paint(color);
      line.append(dot);
    }
    line.append(text);
    return line;
  }

  const last = () => film.poses.length - 1;
  const steps = (count) => `${count} ${count === 1 ? "step" : "steps"}`;

  function show(at) {
    frame = Math.max(0, Math.min(at, last()));
    drawWorld();
    const pose = film.poses[frame], cell = pose >> 2;
    const x = cell % film.width, y = Math.floor(cell / film.width);
    Object.assign(canvas.dataset, { frame, x, y, direction: pose & 3 });
    canvas.setAttribute("aria-label",
      `the world after ${steps(frame)}: the agent is in column ${x}, row ${y}, and faces ${facing[pose & 3]}`);
    slider.value = frame;
    part("step").textContent = `${frame} / ${last()}`;
    const carried = latest(film.carried, frame), effect = film.effects.find(([when]) => when === frame);
    part("now").textContent = [
      frame ? `action ${reel.actions[film.actions[frame - 1]]}` : "the start",
      `time ${film.half_steps[frame] / 2} of ${film.max_steps}`,
      carried && carried[1] ? `carries a ${thingName(carried[1])}` : "",
      effect ? film.notes[effect[1]] : "",
    ].filter(Boolean).join("; ");
    part("outcome").textContent = frame === last() ? `The end: ${film.cause}, after ${steps(last())}.` : "";
    if (frame === last()) pause();
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    part("play").textContent = "Play";
  }

  function play() {
    if (frame === last()) show(0);
    clearInterval(timer);
    timer = setInterval(() => show(frame + 1), Number(part("speed").value));
    part("play").textContent = "Pause";
  }

  function toggle() {
    if (timer) pause();
    else play();
  }

  function go(at) {
    pause();
    show(at);
  }

  function choose(number) {
    pause();
    film = reel.films[number];
    slider.max = last();
    part("mission").textContent = film.mission;
    const told = film.description.map((sentence) => item(sentence));
    part("description").replaceChildren(...(told.length ? told : [item("nothing")]));
    part("rules").replaceChildren(...Object.entries(film.rules)
      .sort(([one], [other]) => reel.colors.indexOf(one) - reel.colors.indexOf(other))
      .map(([color, property]) => item(`${color}: ${property}`, reel.colors.indexOf(color))));
    show(0);
  }

  reel.films.forEach((each, number) => {
    const text = `${each.level}, ${each.split}: ${each.cause} after ${steps(each.actions.length)}`;
    chooser.append(new Option(`${text} (seed ${each.run}, episode ${each.episode})`, number));
  });
  chooser.addEventListener("change", () => choose(Number(chooser.value)));
  slider.addEventListener("input", () => go(Number(slider.value)));
  part("play").addEventListener("click", toggle);
  part("back").addEventListener("click", () => go(frame - 1));
  part("forth").addEventListener("click", () => go(frame + 1));
  part("speed").addEventListener("change", () => { if (timer) play(); });
  canvas.addEventListener("keydown", (event) => {
    const act = {
      " ": toggle,
      ArrowLeft: () => go(frame - 1),
      ArrowRight: () => go(frame + 1),
      Home: () => go(0),
      End: () => go(last()),
    }[event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  player.hidden = false;
  choose(0);
})();
