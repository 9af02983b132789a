// The report's period: a name is shown at once, and days that are typed are meant. Without this script
// the form's button does.

import "./page.js";

const form = document.getElementById("period");

form.elements.period.addEventListener("change", () => {
  if (form.elements.period.value !== "days") form.requestSubmit();
});

for (const day of [form.elements.from, form.elements.to]) {
  day.addEventListener("change", () => { form.elements.period.value = "days"; });
}
