"use strict";
// Replaces the page's middle by the server's every few seconds; places and focus stay.
const live = document.getElementById("live");
const lost = document.getElementById("lost");

async function refresh() {
  if (document.hidden) return;
  try {
    const response = await fetch("{{ fragment }}", { cache: "no-store", redirect: "error" });
    if (response.status === 401) return location.assign("{{ refused }}");
    if (!response.ok) throw new Error(response.status);
    const text = await response.text();
    const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
    const places = [...live.querySelectorAll(".scroll")].map((one) => [one.id, one.scrollLeft, one.scrollTop]);
    live.innerHTML = text;
    for (const [id, left, top] of places) document.getElementById(id)?.scrollTo(left, top);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    lost.textContent = "";
  } catch {
    lost.textContent = "The gateway does not answer; what is shown is from before.";
  }
}

setInterval(refresh, 5000);
document.addEventListener("visibilitychange", refresh);
