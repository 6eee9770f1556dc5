"use strict";
const box = document.getElementById("search");
function find() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const card of document.querySelectorAll(".card")) {
    card.hidden = !words.every((word) => card.dataset.words.includes(word));
    found += card.hidden ? 0 : 1;
  }
  for (const layer of document.querySelectorAll(".layer")) {
    layer.hidden = !layer.querySelector(".card:not([hidden])");
  }
  document.getElementById("nothing").hidden = found > 0;
}
box.addEventListener("input", find);
find();
