// The page keeps itself fresh and sends what a person asks for: no library, no inline script.
// It polls its own address, takes the live parts when they have changed, says when it cannot, and heals by itself.
"use strict";
(() => {
  const EVERY_MS = 2000;
  const STALE_MS = 5000;
  const root = document.documentElement;
  const main = document.getElementById("main");
  let tag = "";
  let asOf = Date.parse(document.body.dataset.asOf || "");
  let seenAt = performance.now();
  let problem = "";

  // -- looks ---------------------------------------------------------------------------------------------------------
  const remembered = localStorage.getItem("theme");
  if (remembered) root.dataset.theme = remembered;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  });

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
  function localize(within) {
    for (const element of within.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const today = new Date().toDateString() === at.toDateString();
      element.title = `${element.dateTime.slice(0, 23).replace("T", " ")} UTC`;
      element.textContent = today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
    }
  }

  // -- staying fresh -------------------------------------------------------------------------------------------------
  function swap(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const chosen = new Set([...document.querySelectorAll("#live input:checked")].map((box) => box.value));
    const open = new Set([...document.querySelectorAll("#live details[open]")].map((element) => element.id));
    for (const id of ["banner", "live"]) {
      const part = fresh.getElementById(id);
      if (!part) continue;
      localize(part);
      for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = chosen.has(box.value);
      for (const element of part.querySelectorAll("details")) element.open = open.has(element.id);
      document.getElementById(id).replaceWith(document.adoptNode(part));
    }
    preview();
  }

  // Not while somebody is at it: a swap would take the text from under his fingers or his selection.
  function busy() {
    const live = document.getElementById("live");
    const at = document.activeElement;
    const typing = at && live.contains(at) && at.matches("input:not([type=checkbox]), select, textarea, summary");
    const selection = getSelection();
    return typing || (selection && !selection.isCollapsed && live.contains(selection.anchorNode));
  }

  async function look() {
    const headers = { "X-Partial": "live" };
    if (tag) headers["If-None-Match"] = tag;
    try {
      const answer = await fetch(location.href, { headers, cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (answer.status === 401) return location.reload();
      if (answer.status !== 304 && !answer.ok) throw new Error((await answer.json()).detail);
      asOf = Date.parse(answer.headers.get("X-As-Of"));
      seenAt = performance.now();
      problem = "";
      if (answer.status === 200 && !busy()) {
        swap(await answer.text());
        tag = answer.headers.get("ETag") || "";
      }
    } catch (error) {
      problem = error instanceof TypeError || error.name === "TimeoutError" ? "the console does not answer" : error.message;
    }
    tell();
  }

  function tell() {
    const age = performance.now() - seenAt;
    const shown = document.getElementById("asof");
    const stale = Boolean(problem) || age > STALE_MS || !asOf;
    shown.classList.toggle("stale", stale);
    const at = asOf ? clock.format(new Date(asOf)) : "never";
    shown.textContent = stale ? `⚠ as of ${at}: ${problem || "the last look failed"}; trying again` : `as of ${at}`;
    shown.title = asOf ? `${new Date(asOf).toISOString()} (UTC)` : "";
  }

  async function keepFresh() {
    if (!document.hidden) await look();
    setTimeout(keepFresh, EVERY_MS);
  }
  setInterval(tell, 1000);
  document.addEventListener("visibilitychange", () => document.hidden || look());

  // -- acts ----------------------------------------------------------------------------------------------------------
  const dialog = document.getElementById("ask");
  let answer = null; // of the question that stands
  function settle(yes) {
    const done = answer;
    answer = null;
    if (!done) return;
    done({ yes, option: dialog.querySelector("#ask-option input").checked, reason: dialog.querySelector("#ask-reason input").value.trim() });
  }
  // It comes late: the next question may stand by then, and is not answered by it.
  dialog.addEventListener("close", () => { if (!dialog.open) settle(dialog.returnValue === "yes"); });
  // The first button to send a form is what Enter presses: that is Yes.
  document.getElementById("ask-no").addEventListener("click", () => dialog.close("no"));
  function ask(form) {
    settle(false);
    const wanted = form.dataset;
    const option = document.getElementById("ask-option");
    const word = document.getElementById("ask-type");
    const yes = document.getElementById("ask-yes");
    document.getElementById("ask-text").textContent = [wanted.confirm, ...changes(form)].join("\n");
    dialog.classList.toggle("danger", Boolean(wanted.danger));
    option.hidden = !wanted.option;
    option.querySelector("span").textContent = wanted.optionText || "";
    option.querySelector("input").checked = false;
    const reason = document.getElementById("ask-reason");
    reason.hidden = !wanted.reason;
    reason.querySelector("input").value = "";
    word.hidden = !wanted.type;
    word.querySelector("span").textContent = `Type ${wanted.type}:`;
    const typed = word.querySelector("input");
    typed.value = "";
    const judge = () => { yes.disabled = Boolean(wanted.type) && typed.value.trim() !== wanted.type; };
    typed.oninput = judge;
    judge();
    dialog.returnValue = "no";
    dialog.showModal();
    (wanted.type ? typed : yes).focus();
    return new Promise((done) => { answer = done; });
  }

  function body(form) {
    const sent = {};
    for (const [name, value] of new FormData(form)) {
      if (form.dataset.skipEmpty && !value.trim()) continue;
      const field = form.elements[name];
      if (name.endsWith("[]")) (sent[name.slice(0, -2)] ||= []).push(value);
      else sent[name] = field && field.dataset && field.dataset.type === "bool" ? value === "true" : value.trim();
    }
    return sent;
  }

  function toast(text, bad) {
    const element = document.createElement("div");
    element.className = bad ? "toast bad" : "toast";
    element.textContent = text;
    document.getElementById("toasts").append(element);
    setTimeout(() => element.remove(), bad ? 15000 : 6000);
  }

  function outcome(form, answer) {
    const lines = [];
    if (answer.enabled === false && form.dataset.api.endsWith("/halt")) lines.push("Trading is off (read back).");
    else if (form.dataset.done) lines.push(form.dataset.done);
    if (answer.state) lines.push(`Cancel: ${answer.state}`);
    if (answer.cancel && answer.cancel !== "none") lines.push(`Cancel: ${answer.cancel}`);
    lines.push(...(answer.cancelled || []), ...(answer.not_cancelled || []), ...(answer.left || []));
    for (const obstacle of answer.obstacles || []) lines.push(`But ${obstacle}`);
    for (const [name, old] of Object.entries(answer.old || {})) lines.push(`${name}: ${shown(form.elements[name], old ?? "missing")} → ${shown(form.elements[name], answer.new[name])}`);
    const bad = [answer.not_cancelled, answer.left, answer.obstacles].some((list) => list && list.length);
    toast(lines.join("\n") || "Done.", bad);
  }

  async function act(form) {
    const sent = body(form);
    const need = form.dataset.need;
    if ((need === "ids" && !sent.ids) || (need === "any" && !Object.keys(sent).length)) return toast("Nothing is chosen.", true);
    const said = form.dataset.confirm ? await ask(form) : { yes: true };
    if (!said.yes) return;
    if (form.dataset.option && said.option) sent[form.dataset.option] = true;
    if (form.dataset.reason) sent.reason = said.reason || "halted in the console";
    const headers = { "Content-Type": "application/json" };
    if (form.dataset.version) headers["If-Match"] = document.getElementById("version").dataset.version;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const method = form.dataset.method || "POST";
      const reply = await fetch(form.dataset.api, { method, headers, body: method === "DELETE" ? undefined : JSON.stringify(sent) });
      const text = await reply.text();
      const found = text ? JSON.parse(text) : {};
      if (reply.ok) {
        outcome(form, found);
        if (form.dataset.skipEmpty) form.reset();
      } else toast(`Not done: ${found.detail || reply.statusText}`, true);
    } catch {
      toast("Not known whether it was done: the console did not answer. Look before you try again.", true);
    }
    button.disabled = false;
    tag = "";
    look();
  }
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.act")) return;
    event.preventDefault();
    act(event.target);
  });

  // A share is shown with its per cent, as nobody sees from 0.02 which of the two it is.
  function shown(input, text) {
    const share = input && input.dataset.share && /^[0-9.]+$/.test(text) ? Number((Number(text) * 100).toPrecision(12)) : NaN;
    return Number.isFinite(share) ? `${text} (${share} %)` : text;
  }

  function changes(form) {
    const outputs = [...form.querySelectorAll("output[data-for]")].filter((output) => output.textContent);
    return outputs.map((output) => `${output.dataset.for}: ${output.textContent}`);
  }

  function preview() {
    for (const output of document.querySelectorAll("output[data-for]")) {
      const input = output.parentElement.querySelector("input");
      const held = document.querySelector(`[data-held="${output.dataset.for}"]`);
      const wanted = input.value.trim();
      output.textContent = wanted ? `${held ? held.textContent : "missing"} → ${shown(input, wanted)}` : "";
    }
  }
  main.addEventListener("input", preview);

  // -- keys: h halts, t turns the light, 1 to 9 and 0 go to the pages --------------------------------------------------
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || event.target.matches("input, select, textarea")) return;
    const links = document.querySelectorAll("nav.side a");
    if (event.key === "h") document.querySelector("#halt button")?.click();
    else if (event.key === "t") document.getElementById("theme").click();
    else if (/^[0-9]$/.test(event.key)) links[(Number(event.key) + 9) % 10]?.click();
  });

  localize(document);
  tell();
  keepFresh();
})();
