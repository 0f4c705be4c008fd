/** Short names for what the API gives and takes; generated from its OpenAPI document. */

import type { components } from "./schema.gen";

type Schemas = components["schemas"];

export type Session = Schemas["SessionView"];
export type SessionState = Session["state"];
export type Runner = Schemas["RunnerView"];
export type ConnectionMethod = Schemas["ConnectionMethod"];
export type RdpConnection = Schemas["RdpConnection"];
/** Of guacd, which somebody has opened and others can join. */
export type GuacamoleConnection = Schemas["GuacamoleConnection"];
export type GuacamoleConnections = Schemas["GuacamoleConnections"];
export type ApplicationConnection = Schemas["ApplicationConnection"];
export type Agent = Schemas["AgentView"];
export type FolderList = Schemas["FolderList"];
export type Me = Schemas["Me"];
export type StartSession = Schemas["StartSession"];

export type Role = Me["role"];
export type SignInOptions = Schemas["SignInOptions"];
export type SignInProgress = Schemas["SignInProgress"];
export type PasskeyChallenge = Schemas["PasskeyChallenge"];
export type Account = Schemas["Account"];
export type Passkey = Schemas["Passkey"];
export type SignIn = Schemas["SignInView"];
export type Token = Schemas["Token"];
export type TokenMade = Schemas["TokenMade"];
export type Scope = Token["scopes"][number];
export type DeviceRequest = Schemas["DeviceRequest"];
export type Person = Schemas["PersonView"];
/** What an admin can make of somebody. */
export type MemberRole = NonNullable<Schemas["NewPerson"]["role"]>;
export type SignInCode = Schemas["SignInCode"];

export type Pairing = Schemas["Pairing"];
export type Machine = NonNullable<Pairing["machine"]>;

export type Shares = Schemas["Shares"];
export type SharedWith = Schemas["SharedPerson"];
export type ShareLink = Schemas["ShareLink"];
export type ShareRole = SharedWith["role"];
export type Followed = Schemas["Followed"];

export type AuditPage = Schemas["AuditPage"];
export type AuditRecord = Schemas["AuditRecord"];
export type AuditKind = Schemas["AuditKind"];
export type Verification = Schemas["AuditVerification"];
export type Secret = Schemas["SecretView"];
export type SecretList = Schemas["SecretList"];

export type FileList = Schemas["FileList"];
export type FileStored = Schemas["FileStored"];
export type Recording = Schemas["RecordingView"];
export type RecordingList = Schemas["RecordingList"];
export type RecordingState = Schemas["RecordingState"];
