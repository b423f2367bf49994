// The sandbox's page: looks once a second at /sandbox/state and shows it; buttons call the control API.
// Everything from outside becomes text (textContent), never markup.
"use strict";

const LOOK_MS = 1000;
const LEVELS = 3;
const page = { market: "", find: "", state: null, ticked: new Set(), looking: false };
const at = (id) => document.getElementById(id);

function element(tag, text, classes) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (classes) made.className = classes;
  return made;
}

function row(values) {
  const made = element("tr");
  for (const value of values) made.append(value instanceof Node ? value : element("td", value));
  return made;
}

// Rows are made anew only when what they show has changed, so that a tick or a focus is not lost every second.
function fill(id, data, make) {
  const seen = JSON.stringify(data);
  if (at(id).dataset.seen === seen) return;
  at(id).dataset.seen = seen;
  at(id).replaceChildren(...data.map(make));
}

function money(value) {
  return value === undefined || value === null ? "" : Number(value).toFixed(2);
}

function say(text, failed) {
  const answer = at("answer");
  answer.textContent = text;
  answer.hidden = false;
  answer.classList.toggle("failed", failed);
}

async function call(path, method, body, done) {
  try {
    const reply = await fetch("/sandbox/" + path, {
      method,
      headers: { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const told = await reply.json();
    if (!reply.ok) throw new Error(told.error || "HTTP " + reply.status);
    say(done, false);
  } catch (error) {
    say("Not done: " + error.message, true);
  }
  await look();
}

async function look() {
  if (page.looking) return;
  page.looking = true;
  try {
    const query = new URLSearchParams({ market: page.market, find: page.find });
    const reply = await fetch("/sandbox/state?" + query, { cache: "no-store" });
    if (!reply.ok) throw new Error("HTTP " + reply.status);
    page.state = await reply.json();
    show(page.state);
    at("as-of").textContent = "As of " + page.state.now.slice(11, 19) + " UTC";
    at("as-of").classList.remove("failed");
  } catch (error) {
    at("as-of").textContent = "The last look failed: " + error.message;
    at("as-of").classList.add("failed");
  } finally {
    page.looking = false;
  }
}

function show(state) {
  showReplay(state.replay);
  showMarkets(state.markets);
  showMarket(state.market);
  fill("accounts", state.accounts, (a) =>
    row([a.name, money(a.balance), money(a.exposure), money(a.available), money(a.commission), a.transactions]));
  fill("journal", state.journal, (e) => row([e.received, e.method, e.account, e.status, e.error, e.fault]));
  fill("armed", state.faults, (f) =>
    element("li", f.kind + " on " + f.method + (f.count === null ? "" : ", " + f.count + " to come")
      + (f.probability < 1 ? ", with probability " + f.probability : "") + (f.seconds ? ", " + f.seconds + " s" : "")));
  if (!at("faults").elements.method.length) {
    at("faults").elements.method.append(...state.faultMethods.map((name) => element("option", name)));
    at("kinds").append(...state.faultKinds.map((name) => {
      const option = element("option");
      option.value = name;
      return option;
    }));
  }
}

function showReplay(replay) {
  at("replay").hidden = !replay;
  if (!replay) return;
  const fills = replay.fillCount === 1 ? "1 fill" : replay.fillCount + " fills";
  at("replay-state").textContent =
    replay.file + " at " + replay.recordedTime.replace("T", " ").slice(0, 19) + " UTC, speed " + replay.speed
    + (replay.finished ? ", finished" : replay.paused ? ", paused" : "") + ". "
    + replay.linesPlayed + " lines, " + replay.skippedCount + " skipped, " + fills + ".";
  at("replay-pause").textContent = replay.paused ? "Go on" : "Pause";
}

function showMarkets(markets) {
  at("no-markets").hidden = markets.length > 0;
  if (!page.market && markets.length) page.market = markets[0].marketId;
  const shown = markets.map((market) => ({ ...market, current: market.marketId === page.market }));
  fill("markets", shown, (market) => {
    const button = element("button", market.name);
    button.type = "button";
    button.append(element("small", market.eventName + ", " + market.marketId));
    const state = market.status + (market.inplay ? ", in-play" : "");
    button.append(element("small", state + ", matched " + money(market.totalMatched)));
    button.setAttribute("aria-current", String(market.current));
    button.addEventListener("click", () => choose(market.marketId));
    const item = element("li");
    item.append(button);
    return item;
  });
}

function choose(marketId) {
  page.market = marketId;
  page.ticked.clear();
  at("runners").dataset.seen = "";
  look();
}

function levels(list, side) {
  const cells = [];
  for (let level = 0; level < LEVELS; level += 1) {
    const offer = list[level];
    const cell = element("td", offer ? offer[0] : "", side + (level ? " far" : ""));
    if (offer) cell.append(element("small", money(offer[1])));
    cells.push(cell);
  }
  return side === "back" ? cells.reverse() : cells;
}

function runnerName(runner) {
  const tick = element("input");
  tick.type = "checkbox";
  tick.checked = page.ticked.has(runner.key);
  tick.disabled = runner.status === "REMOVED";
  tick.addEventListener("change", () => (tick.checked ? page.ticked.add(runner.key) : page.ticked.delete(runner.key)));
  const label = element("label");
  label.append(tick, element("span", runner.name + (runner.handicap ? " " + runner.handicap : "")));
  const cell = element("td");
  cell.append(label);
  const told = [runner.status === "ACTIVE" ? "" : runner.status, runner.bsp ? "SP " + runner.bsp : ""].filter(Boolean);
  if (told.length) cell.append(element("small", told.join(", ")));
  return cell;
}

function showMarket(market) {
  at("market").hidden = !market;
  if (!market) return;
  const closed = market.status === "CLOSED";
  at("market-title").textContent = market.name + ", " + market.eventName;
  at("market-facts").textContent =
    [market.marketId, market.status, market.inplay ? "in-play" : "", market.marketType, market.bettingType,
      market.numberOfWinners + (market.numberOfWinners === 1 ? " winner" : " winners"),
      market.eachWayDivisor ? "each way 1/" + market.eachWayDivisor : "", market.recorded ? "replayed" : "",
      "starts " + market.marketTime.replace("T", " ").slice(0, 16) + " UTC"].filter(Boolean).join(" · ");
  at("suspend").textContent = market.status === "OPEN" ? "Suspend" : "Open";
  at("in-play").textContent = market.inplay ? "Take out of in-play" : "Turn in-play";
  for (const id of ["suspend", "in-play", "remove"]) at(id).disabled = closed;
  at("reverse").disabled = !market.settled;
  fill("runners", market.runners, (runner) =>
    row([runnerName(runner), ...levels(runner.toBack, "back"), ...levels(runner.toLay, "lay"),
      runner.last, money(runner.matched)]));
  const select = at("prices").elements.runner;
  const keys = market.runners.filter((runner) => runner.status === "ACTIVE").map((runner) => runner.key).join();
  if (select.dataset.keys !== market.marketId + keys) {
    select.dataset.keys = market.marketId + keys;
    select.replaceChildren(...market.runners.filter((runner) => runner.status === "ACTIVE").map((runner) => {
      const option = element("option", runner.name + (runner.handicap ? " " + runner.handicap : ""));
      option.value = runner.key;
      return option;
    }));
  }
  for (const field of at("prices").elements) field.disabled = market.recorded || market.status !== "OPEN";
  fill("bets", market.bets, (bet) =>
    row([bet.betId, bet.account, bet.runner, bet.side, bet.price, money(bet.size), money(bet.matched),
      bet.average, money(bet.remaining), bet.settled ? money(bet.profit) : "", bet.status]));
}

function ticked() {
  const runners = page.state.market.runners.filter((runner) => page.ticked.has(runner.key));
  return runners.map((runner) => ({ selectionId: runner.selectionId, handicap: runner.handicap }));
}

function names() {
  const chosen = page.state.market.runners.filter((runner) => page.ticked.has(runner.key));
  return chosen.map((runner) => runner.name).join(", ") || "no winner";
}

function number(form, name) {
  const text = form.elements[name].value;
  return text === "" ? null : Number(text);
}

function wireMarket() {
  const change = (body, done) => call("markets", "POST", { marketId: page.market, ...body }, done);
  at("suspend").addEventListener("click", () => {
    const status = page.state.market.status === "OPEN" ? "SUSPENDED" : "OPEN";
    change({ status }, "The market is " + status + ".");
  });
  at("in-play").addEventListener("click", () => {
    const inplay = !page.state.market.inplay;
    change({ inplay }, inplay ? "The market is in-play." : "The market is no longer in-play.");
  });
  at("settle").addEventListener("click", () => {
    if (!confirm("Settle " + page.market + " with " + names() + "?")) return;
    call("settle", "POST", { marketId: page.market, winners: ticked() }, "Settled with " + names() + ".");
  });
  at("reverse").addEventListener("click", () => {
    if (!confirm("Take the result of " + page.market + " back?")) return;
    call("settle", "POST", { marketId: page.market, reverse: true }, "The result is taken back.");
  });
  at("remove").addEventListener("click", () => {
    if (page.ticked.size !== 1) return say("Tick the one runner to remove.", true);
    if (!confirm("Remove " + names() + " from " + page.market + "?")) return undefined;
    return call("remove", "POST", { marketId: page.market, ...ticked()[0] }, "Removed.");
  });
  at("void").addEventListener("click", () => {
    if (!confirm("Void every bet of " + page.market + "?")) return;
    call("void", "POST", { marketId: page.market }, "The market is void.");
  });
  at("prices").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    const offers = (price, size) => (price === null || size === null ? [] : [[price, size]]);
    const runner = page.state.market.runners.find((one) => one.key === form.elements.runner.value);
    call("prices", "POST", {
      marketId: page.market,
      selectionId: runner.selectionId,
      handicap: runner.handicap,
      availableToBack: offers(number(form, "backPrice"), number(form, "backSize")),
      availableToLay: offers(number(form, "layPrice"), number(form, "laySize")),
    }, "Offered on " + runner.name + ".");
  });
}

function wireRest() {
  at("find").addEventListener("input", (event) => {
    page.find = event.target.value;
    look();
  });
  at("open-market").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    const runners = form.elements.runners.value.split(/[ ,]+/).filter(Boolean)
      .map((id) => ({ selectionId: Number(id), availableToBack: [], availableToLay: [] }));
    page.market = form.elements.marketId.value;
    call("markets", "POST", { marketId: page.market, runners }, "Opened " + page.market + ".");
  });
  at("faults").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    call("faults", "POST", {
      method: form.elements.method.value,
      kind: form.elements.kind.value,
      count: number(form, "count"),
      seconds: number(form, "seconds"),
    }, "Armed " + form.elements.kind.value + ".");
  });
  at("disarm").addEventListener("click", () => call("faults", "DELETE", undefined, "Nothing more will go wrong."));
  at("reset").addEventListener("click", () => {
    if (!confirm("Forget every market, bet, fault and line of the journal?")) return;
    page.market = "";
    call("reset", "POST", {}, "Started anew.");
  });
  at("replay-pause").addEventListener("click", () => {
    const paused = !page.state.replay.paused;
    call("replay", "POST", { paused }, paused ? "The replay is paused." : "The replay goes on.");
  });
  at("replay-step").addEventListener("click", () => call("replay", "POST", { step: 1 }, "Played one line."));
  at("replay-set").addEventListener("click", () => {
    const speed = Number(at("replay-speed").value);
    call("replay", "POST", { speed }, "The replay plays at speed " + speed + ".");
  });
}

wireMarket();
wireRest();
look();
setInterval(look, LOOK_MS);
