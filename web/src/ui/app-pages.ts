/** The page for a route, and for whom there is none. */

import { type TemplateResult, html } from "lit";

import type { Route } from "../router";
import { store } from "../store/store";
import "./notice";
import { loadAdminPages, loadPages, loadReplayPage, loadSessionPage } from "./parts";
import "./sessions-page";

const nowhere = html`<es-notice heading="There is no such page" text="The address may be mistyped."></es-notice>`;
const notForGuests = html`<es-notice heading="Not for guests" text="You see the sessions that were shared with you.">
  <a href="/">Go to them</a>
</es-notice>`;
const forAdmins = html`<es-notice heading="Only for admins" text="Ask an admin of this server if you need this page.">
  <a href="/">All sessions</a>
</es-notice>`;

export function renderPage(route: Route): TemplateResult {
  const guest = store.me?.role === "guest";
  const admin = store.me?.isAdmin ?? false;
  if (!["session", "sessions", "replay"].includes(route.page)) loadPages();
  switch (route.page) {
    case "sessions":
      return html`<es-sessions-page></es-sessions-page>`;
    case "session":
      loadSessionPage();
      return html`<es-session-page sessionId=${route.id}></es-session-page>`;
    case "replay":
      loadReplayPage();
      return html`<es-replay-page sessionId=${route.id}></es-replay-page>`;
    case "settings":
      return html`<es-settings-page></es-settings-page>`;
    case "runners":
      return guest ? notForGuests : html`<es-runners-page></es-runners-page>`;
    case "account":
      return guest ? notForGuests : html`<es-account-page></es-account-page>`;
    case "device":
      return guest ? notForGuests : html`<es-device-page code=${route.code}></es-device-page>`;
    case "people":
      if (admin) loadAdminPages();
      return admin ? html`<es-people-page></es-people-page>` : forAdmins;
    case "audit":
      if (admin) loadAdminPages();
      return admin ? html`<es-audit-page></es-audit-page>` : forAdmins;
    case "unknown":
      return nowhere;
  }
}
