"use strict";
// A filter is applied as soon as it is changed; j, k and the arrows step through the images.
const form = document.querySelector("form");
form.addEventListener("change", () => form.requestSubmit());
document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { j: "next", ArrowRight: "next", k: "prev", ArrowLeft: "prev" }[event.key];
  const link = step && document.querySelector(`a[rel="${step}"]`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});
