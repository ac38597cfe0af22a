"use strict";

// Without this script every command can still be selected by one click.
function say(button, text) {
  const before = button.textContent;
  button.textContent = text;
  setTimeout(() => { button.textContent = before; }, 1500);
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.text);
    say(button, "Copied");
  } catch {
    // Over plain http there is no clipboard: select the command instead.
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    say(button, document.execCommand("copy") ? "Copied" : "Selected");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button);
});
