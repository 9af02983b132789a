// Accounts and tokens: what an admin changes. A password or token is shown once, in a dialog.

import { change } from "./page.js";

const message = document.getElementById("message");
const told = document.getElementById("told");

function fail(error) {
  message.textContent = `${message.dataset.failed}: ${error.message}`;
  message.className = "bad";
}

/** Shows a secret; the page is loaded anew when the dialog is closed. */
function tellOnce(secret) {
  document.getElementById("secret").value = secret;
  told.addEventListener("close", () => location.reload(), { once: true });
  told.showModal();
}

async function add(form, path, body, key) {
  try {
    tellOnce((await change(path, body))[key]);
  } catch (error) {
    fail(error);
  }
}

document.getElementById("add-account")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(event.target));
  add(event.target, "/api/v1/accounts", { name: given.name, roles: given.role.split("+") }, "password");
});

document.getElementById("add-token")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(event.target));
  const days = given.days ? Number(given.days) : null;
  add(event.target, "/api/v1/tokens", { name: given.name, roles: given.role.split("+"), days }, "token");
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  if (button.dataset.sure && !confirm(button.dataset.sure)) return;
  const row = button.closest("tr");
  const of = row.dataset.name ? `/api/v1/accounts/${row.dataset.name}` : `/api/v1/tokens/${row.dataset.token}`;
  try {
    const answer = await change(`${of}/${button.dataset.do}`);
    if (button.dataset.do === "password") tellOnce(answer.password);
    else location.reload();
  } catch (error) {
    fail(error);
  }
});

document.addEventListener("change", async (event) => {
  const field = event.target.closest("[data-display-name]");
  if (field) {
    const { name } = field.closest("tr").dataset;
    try {
      await change(`/api/v1/accounts/${name}/display-name`, { display_name: field.value.trim() || null });
      message.textContent = message.dataset.done;
      message.className = "good";
    } catch (error) {
      fail(error);
    }
    return;
  }
  const select = event.target.closest("[data-roles]");
  if (!select) return;
  const { name } = select.closest("tr").dataset;
  try {
    await change(`/api/v1/accounts/${name}/roles`, { roles: select.value.split("+") });
    message.textContent = message.dataset.done;
    message.className = "good";
  } catch (error) {
    fail(error);
  }
});
