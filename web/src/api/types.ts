/** Short names for what the API gives and takes; generated from its OpenAPI document. */

import type { components } from "./schema.gen";

type Schemas = components["schemas"];

export type Session = Schemas["SessionView"];
export type SessionState = Session["state"];
export type Runner = Schemas["RunnerView"];
export type ConnectionMethod = Schemas["ConnectionMethod"];
export type Agent = Schemas["AgentView"];
export type FolderList = Schemas["FolderList"];
export type Me = Schemas["Me"];
export type StartSession = Schemas["StartSession"];
