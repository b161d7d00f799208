// Pauses a live tail, counts what waits, and says how it goes. The lines themselves come by hx-sse.
(() => {
  "use strict";
  const lines = document.getElementById("lines"), state = document.getElementById("tail-state");
  const pause = document.getElementById("tail-pause"), resume = document.getElementById("tail-resume");
  // Lines that the page keeps, and that wait while it is paused; older ones are removed.
  const MOST = 500;
  const held = document.createDocumentFragment();
  let isPaused = false, isLive = false, dropped = 0, place = "";

  const say = text => { if (state.textContent !== text) state.textContent = text; };
  const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const tell = () => {
    pause.hidden = !isLive && !isPaused;
    pause.textContent = isPaused ? "Continue" : "Pause";
    if (!isLive) return;
    const lost = dropped ? `, the last of ${count(held.childElementCount + dropped, "line")}` : "";
    say(isPaused ? `Paused: ${count(held.childElementCount, "line")} wait${held.childElementCount === 1 ? "s" : ""}${lost}.` : "Live.");
  };
  const cut = parent => {
    let removed = 0;
    for (; parent.childElementCount > MOST; removed++) parent.lastElementChild.remove();
    return removed;
  };
  const leftOut = number => {
    const note = document.createElement("li");
    note.className = "soft left-out";
    note.textContent = `${count(number, "line")} left out while the tail was paused.`;
    return note;
  };

  lines.addEventListener("htmx:sse:after:connection", () => {
    isLive = true;
    resume.hidden = true;
    tell();
  });
  // A paused tail goes on in the background, so that nothing is missing when it continues.
  lines.addEventListener("htmx:sse:before:message", event => {
    const { data, event: name, id } = event.detail.message;
    if (id) place = id;
    if (name || !isPaused) return;
    event.preventDefault();
    const parsed = new DOMParser().parseFromString(`<ol>${data}</ol>`, "text/html");
    held.prepend(...parsed.querySelectorAll("ol > li"));
    dropped += cut(held);
    tell();
  });
  lines.addEventListener("htmx:sse:after:message", () => {
    document.getElementById("tail-empty")?.remove();
    cut(lines);
  });
  lines.addEventListener("htmx:sse:error", event => {
    // The page itself leads to the sign-in, or says what is missing.
    if ([401, 403, 404].includes(event.detail.status)) location.reload();
    isLive = false;
    tell();
    say("The connection is lost, and tried again.");
  });
  lines.addEventListener("over", event => {
    isLive = false;
    tell();
    if (event.detail.data !== "time") return location.reload();
    say("The tail has ended after its time.");
    resume.hidden = false;
  });
  // A tail that does not begin: the answer, if there is one, says why.
  lines.addEventListener("htmx:response:error", () => { resume.hidden = false; });
  lines.addEventListener("htmx:error", event => {
    event.stopPropagation();
    say("The server did not answer.");
    resume.hidden = false;
  });
  // A tail that begins anew goes on where it ended.
  lines.addEventListener("htmx:config:request", event => {
    if (place) event.detail.ctx.request.headers["Last-Event-ID"] = place;
  });
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    if (!isPaused) {
      if (dropped) held.append(leftOut(dropped));
      if (held.childElementCount) document.getElementById("tail-empty")?.remove();
      lines.prepend(held);
      cut(lines);
      dropped = 0;
    }
    tell();
  });

  // Begun here, not by an attribute, which htmx may look for before hx-sse is there.
  htmx.config.sse = { reconnect: true, pauseOnBackground: true, releaseOn: "immediate" };
  const connect = () => htmx.ajax("GET", lines.dataset.stream, { source: lines });
  resume.addEventListener("click", connect);
  connect();
})();
