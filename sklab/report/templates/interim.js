// Read the page again every few seconds, at the place where the reader is. The final page has no such script.
const place = `sklab-scroll:${location.pathname}`;
try {
  const seen = sessionStorage.getItem(place);
  if (seen !== null) addEventListener("load", () => scrollTo(0, Number(seen)));
} catch { /* a browser that keeps nothing for local files scrolls to the top */ }
let printing = false;
addEventListener("beforeprint", () => { printing = true; });
addEventListener("afterprint", () => { printing = false; });
setInterval(() => {
  if (printing || document.hidden) return;
  try { sessionStorage.setItem(place, String(scrollY)); } catch { /* likewise */ }
  location.reload();
}, 5000);
