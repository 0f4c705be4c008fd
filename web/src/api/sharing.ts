/** Who else may see or steer a session. */

import { client, done, outcome } from "./call";
import type { Followed, ShareRole, Shares } from "./types";

const session = (id: string) => ({ params: { path: { session_id: id } } });
const person = (id: string, personId: string) => ({ params: { path: { session_id: id, person_id: personId } } });

export const sharing = {
  shares: (id: string): Promise<Shares> => outcome(client.GET("/api/v1/sessions/{session_id}/shares", session(id))),
  share: (id: string, personId: string, role: ShareRole, expiresIn: number | null): Promise<void> =>
    done(client.PUT("/api/v1/sessions/{session_id}/shares/{person_id}", { ...person(id, personId), body: { role, expiresIn } })),
  unshare: (id: string, personId: string): Promise<void> =>
    done(client.DELETE("/api/v1/sessions/{session_id}/shares/{person_id}", person(id, personId))),
  makeLink: (id: string, role: ShareRole, expiresIn: number) =>
    outcome(client.POST("/api/v1/sessions/{session_id}/links", { ...session(id), body: { role, expiresIn } })),
  endLink: (id: string, linkId: string): Promise<void> =>
    done(client.DELETE("/api/v1/sessions/{session_id}/links/{link_id}", { params: { path: { session_id: id, link_id: linkId } } })),
  /** A name makes a guest of somebody who is not signed in. */
  follow: (code: string, name: string | null): Promise<Followed> =>
    outcome(client.POST("/api/v1/follow-link", { body: { code, name } })),
};
