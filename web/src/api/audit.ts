/** What was done, by whom, from where. */

import { client, outcome } from "./call";
import type { AuditKind, AuditPage, Verification } from "./types";

/** Where the browser downloads all records, as JSON lines. */
export const AUDIT_EXPORT_PATH = "/api/v1/audit/export";
export const AUDIT_PAGE_SIZE = 100;

export interface AuditQuery {
  kind?: AuditKind;
  person?: string;
  session?: string;
  before?: number;
}

export const audit = {
  records: (query: AuditQuery): Promise<AuditPage> =>
    outcome(client.GET("/api/v1/audit", { params: { query: { ...query, limit: AUDIT_PAGE_SIZE } } })),
  ofSession: (id: string, before?: number): Promise<AuditPage> =>
    outcome(
      client.GET("/api/v1/sessions/{session_id}/audit", {
        params: { path: { session_id: id }, query: { limit: AUDIT_PAGE_SIZE, ...(before === undefined ? {} : { before }) } },
      }),
    ),
  verification: (): Promise<Verification> => outcome(client.GET("/api/v1/audit/verification")),
};
