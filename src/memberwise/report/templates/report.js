"use strict";
// Same figures, same digits as the page's own (memberwise/report/formats.py).
const DASH = "\u2013";
function fixed(value, digits) {
  // Ties go to the even digit; a tie is exact only where 5^digits divides the odd multiple of half a unit.
  const half = value * 10 ** digits * 2;
  const tie = Number.isInteger(half) && half % 2 !== 0 && half % 5 ** digits === 0;
  return (tie && Math.floor(half / 2) % 2 === 0 ? Math.floor(half / 2) / 10 ** digits : value).toFixed(digits);
}
function places(share) {
  const distance = Math.min(Math.abs(share), Math.abs(1 - share));
  return distance >= 0.01 || distance === 0 ? 1 : distance >= 0.001 ? 2 : 3;
}
const whole = (value) => Math.round(value).toLocaleString("en-GB");
const rate = (fpr) => `${Number((100 * fpr).toPrecision(6))}%`;
function share([value, low, high]) {
  const digits = places(value || high || 0);
  const ends = low === null || high === null
    ? "no interval" : `${fixed(100 * low, digits)}${DASH}${fixed(100 * high, digits)}%`;
  return [`${fixed(100 * value, digits)}%`, ends];
}
function records([value, low, high], factor) {
  const ends = low === null || high === null ? "no interval" : `${whole(factor * low)}${DASH}${whole(factor * high)}`;
  return [whole(factor * value), ends];
}
function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function explorer(data) {
  const at = (name) => document.getElementById(`explorer-${name}`);
  const choose = at("attack"), slider = at("fpr"), prior = at("prior"), asked = at("records");
  data.attacks.forEach((attack, place) => choose.append(element("option", attack.name, { value: String(place) })));
  choose.value = String(Math.max(0, data.attacks.findIndex((attack) => attack.name === data.headline)));
  const attack = () => data.attacks[Number(choose.value)];

  function worth([value, low, high], fpr, members) {
    const one = (tpr) => tpr === null ? null
      : tpr === 0 && fpr === 0 ? null : members * tpr / (members * tpr + (1 - members) * fpr);
    return one(value) === null ? null : [one(value), one(low), one(high)];
  }
  function figure(list, name, [value, ends], meaning) {
    const box = element("div");
    const between = ends === "no interval" ? ends : `${data.interval} ${ends}`;
    box.append(element("dt", name), element("dd", value, { class: "value" }),
      element("dd", between, { class: "interval" }), element("dd", meaning, { class: "meaning" }));
    list.append(box);
  }
  function show() {
    const { rates, n, carried, band } = attack();
    const [fpr, tpr, low, high, stated, resolvable, method = band] = rates[Number(slider.value)];
    const percent = Number(prior.value), people = Math.floor(Number(asked.value)), answer = at("answer");
    at("fpr-text").textContent = rate(fpr);
    slider.setAttribute("aria-valuetext", rate(fpr));
    for (const button of at("stated").children) button.setAttribute("aria-pressed", String(button.value === slider.value));
    const usable = percent > 0 && percent < 100 && people >= 1;
    if (!usable) {
      answer.replaceChildren(element("p", "A prior lies between 0 and 100%, and at least one record is asked about.", { class: "flag" }));
      return;
    }
    const members = percent / 100, list = element("dl", undefined, { class: "figures" }), recognised = [tpr, low, high];
    const named = worth(recognised, fpr, members);
    figure(list, "TPR", share(recognised), `of members recognised at ${rate(fpr)} FPR`);
    figure(list, "Exposed", records(recognised, n[0]), `of ${whole(n[0])} audited members recognised`);
    figure(list, "PPV", named === null ? [DASH, "nobody is named"] : share(named), `of those named are members, if ${Number(percent.toPrecision(6))}% of those asked about are`);
    figure(list, "Found", records(recognised, members * people),
      `of ${whole(members * people)} members among ${whole(people)} records; ${whole((1 - members) * people * fpr)} non-members are wrongly accused`);
    const notes = [stated ? "This rate is one of result.json's." : "Between the stated rates: read off the curve and its band."];
    if (resolvable !== "yes") notes.push(resolvable === "no" ? "Too few non-members for a valid interval." : "Weak: fewer than ten wrong accusations are expected.");
    notes.push(`${whole(n[0])} members, ${whole(n[1])} non-members; ${method}.`);
    const row = carried.find((one) => one.fpr === fpr);
    if (row) {
      const value = row.worth.find(([at_prior]) => Math.abs(at_prior - members) < 1e-12);
      const said = (estimate) => { const [text, ends] = share(estimate); return `${text} (${ends})`; };
      notes.push(`With the threshold that shadow models give for this rate: FPR ${said(row.realised)}, TPR ${said(row.tpr)}` +
        (value && value[1] !== null ? `, PPV ${said(value.slice(1))}.` : "."));
    }
    answer.replaceChildren(list, element("p", notes.join(" "), { class: "muted" }));
  }
  function changed() {
    const { rates } = attack(), stated = at("stated");
    slider.max = String(rates.length - 1);
    stated.replaceChildren();
    rates.forEach(([fpr, , , , known], place) => {
      if (!known) return;
      const button = element("button", rate(fpr), { type: "button", value: String(place) });
      button.addEventListener("click", () => { slider.value = String(place); show(); });
      stated.append(button);
    });
  }
  const nearest = (fpr) => {
    const gaps = attack().rates.map(([one]) => Math.abs(Math.log((one + 1e-12) / (fpr + 1e-12))));
    return String(gaps.indexOf(Math.min(...gaps)));
  };
  const first = () => {
    const stated = attack().rates.filter((one) => one[4] && one[5] === "yes");
    return (stated[0] ?? attack().rates.find((one) => one[4]) ?? attack().rates[0])[0];
  };
  choose.addEventListener("change", () => {
    const before = Number(slider.dataset.fpr);
    changed();
    slider.value = nearest(before);
    show();
  });
  for (const control of [slider, prior, asked]) control.addEventListener("input", show);
  slider.addEventListener("input", () => { slider.dataset.fpr = attack().rates[Number(slider.value)][0]; });
  at("stated").addEventListener("click", () => { slider.dataset.fpr = attack().rates[Number(slider.value)][0]; });
  at("form").addEventListener("submit", (event) => event.preventDefault());
  changed();
  slider.dataset.fpr = first();
  slider.value = nearest(first());
  at("form").hidden = at("answer").hidden = false;
  show();
}

// Sorting by a column dissolves the groups; "by needs" brings them back. Only the first rows are shown until asked.
function workable(table) {
  const bodies = [...table.tBodies], rows = bodies.flatMap((body) => [...body.rows]);
  const groups = new Map(rows.map((row) => [row, row.parentElement]));
  const attacks = rows.filter((row) => !row.classList.contains("group"));
  const most = Number(table.dataset.first), flat = element("tbody");
  let all = attacks.length <= most, wanted = "";
  const bar = element("div", undefined, { class: "controls" });
  const label = element("label", "Filter by name or need", { for: "attack-filter" });
  const search = element("input", undefined, { type: "search", id: "attack-filter" }), field = element("div");
  const more = element("button", undefined, { type: "button" }), again = element("button", "Group by needs", { type: "button", hidden: "" });
  const said = element("span", undefined, { class: "muted", "aria-live": "polite" });
  field.append(label, search);
  bar.append(field, again, more, said);
  table.parentElement.before(bar);

  function draw() {
    let shown = 0, matching = 0;
    for (const body of table.tBodies) {
      let inside = 0;
      for (const row of body.rows) {
        if (row.classList.contains("group")) continue;
        const text = `${row.cells[0].textContent} ${row.dataset.needs}`.toLowerCase();
        const fits = text.includes(wanted), visible = fits && (all || wanted || shown < most);
        matching += fits;
        shown += visible;
        inside += visible;
        row.classList.toggle("folded", !visible);
      }
      if (body !== flat) body.rows[0].classList.toggle("folded", !inside);
    }
    more.hidden = attacks.length <= most || Boolean(wanted);
    more.textContent = all ? `Show the first ${most}` : `Show all ${attacks.length}`;
    more.setAttribute("aria-expanded", String(all));
    said.textContent = wanted && !matching ? "No attack fits." : `${shown} of ${attacks.length} attacks`;
  }
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const marks = [...head.querySelectorAll("sup")];
    marks.forEach((mark) => mark.remove());
    const button = element("button", head.textContent, { type: "button", class: "sort" });
    head.replaceChildren(button, ...marks);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const numbers = attacks.some((row) => row.cells[column].dataset.value !== undefined);
      const down = before ? before === "ascending" : numbers;
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value;
      const sorted = [...attacks].sort((a, b) => {
        if (!numbers) return a.cells[column].textContent.localeCompare(b.cells[column].textContent) * (down ? -1 : 1);
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return (Number(x) - Number(y)) * (down ? -1 : 1);
      });
      bodies.forEach((body) => body.remove());
      flat.replaceChildren(...sorted);
      table.append(flat);
      again.hidden = false;
      draw();
    });
  });
  again.addEventListener("click", () => {
    flat.remove();
    for (const [row, body] of groups) body.append(row);
    bodies.forEach((body) => table.append(body));
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    again.hidden = true;
    search.focus();
    draw();
  });
  more.addEventListener("click", () => { all = !all; draw(); });
  search.addEventListener("input", () => { wanted = search.value.trim().toLowerCase(); draw(); });
  draw();
}

// What hovering or focusing a point says, in a line below the plot as well.
function readable(figure) {
  const line = figure.querySelector(".pointed");
  for (const point of figure.querySelectorAll("a.point")) {
    const say = () => { line.textContent = point.getAttribute("aria-label"); };
    point.addEventListener("pointerenter", say);
    point.addEventListener("focus", say);
  }
}

const data = document.getElementById("explorer-data");
if (data) explorer(JSON.parse(data.textContent));
document.querySelectorAll("table[data-first]").forEach(workable);
document.querySelectorAll("figure.pointable").forEach(readable);
const closed = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => { opened = closed(); opened.forEach((one) => { one.open = true; }); });
addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
