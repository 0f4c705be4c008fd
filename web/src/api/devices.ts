/** Machines: pairing new ones, and what their owners do with them. */

import { client, done, outcome } from "./call";
import type { Pairing, Runner } from "./types";

const pairing = (id: string) => ({ params: { path: { pairing_id: id } } });
const runner = (id: string) => ({ params: { path: { runner_id: id } } });

export const devices = {
  startPairing: (shared: boolean): Promise<Pairing> => outcome(client.POST("/api/v1/pairings", { body: { shared } })),
  pairings: () => outcome(client.GET("/api/v1/pairings")),
  pairing: (id: string): Promise<Pairing> => outcome(client.GET("/api/v1/pairings/{pairing_id}", pairing(id))),
  confirmPairing: (id: string, fingerprint: string): Promise<Pairing> =>
    outcome(client.POST("/api/v1/pairings/{pairing_id}/confirm", { ...pairing(id), body: { fingerprint } })),
  refusePairing: (id: string): Promise<Pairing> => outcome(client.POST("/api/v1/pairings/{pairing_id}/refuse", pairing(id))),

  changeRunner: (id: string, change: { name?: string; shared?: boolean }): Promise<Runner> =>
    outcome(client.PATCH("/api/v1/runners/{runner_id}", { ...runner(id), body: change })),
  revoke: (id: string): Promise<Runner> => outcome(client.POST("/api/v1/runners/{runner_id}/revoke", runner(id))),
  remove: (id: string): Promise<void> => done(client.DELETE("/api/v1/runners/{runner_id}", runner(id))),
};
