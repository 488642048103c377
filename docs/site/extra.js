// What the theme leaves out for those who use a keyboard or a screen reader: wide tables can be scrolled by keys, and the
// choice of versions is called by what it shows. The theme makes both after loading.
function complete() {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    table.tabIndex = 0;
    table.setAttribute("role", "region");
    table.setAttribute("aria-label", "Table");
  }
  for (const current of document.querySelectorAll(".md-version__current:not([data-named])")) {
    current.dataset.named = "";
    current.setAttribute("aria-label", `Version ${current.textContent.trim()}, choose another`);
  }
}
new MutationObserver(complete).observe(document.documentElement, { childList: true, subtree: true });
complete();
