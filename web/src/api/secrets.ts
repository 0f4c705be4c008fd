/** Keys that agents get in their environment. Values only ever go in. */

import { client, done, outcome } from "./call";
import type { SecretList } from "./types";

export interface SecretStore {
  list(): Promise<SecretList>;
  put(name: string, value: string): Promise<void>;
  remove(name: string): Promise<void>;
}

/** Those of the person signed in. */
export const mySecrets: SecretStore = {
  list: () => outcome(client.GET("/api/v1/me/secrets")),
  put: (name, value) => done(client.PUT("/api/v1/me/secrets/{name}", { params: { path: { name } }, body: { value } })),
  remove: (name) => done(client.DELETE("/api/v1/me/secrets/{name}", { params: { path: { name } } })),
};

/** Those that only agents on one runner get. */
export function runnerSecrets(runnerId: string): SecretStore {
  const at = (name: string) => ({ params: { path: { runner_id: runnerId, name } } });
  return {
    list: () => outcome(client.GET("/api/v1/runners/{runner_id}/secrets", { params: { path: { runner_id: runnerId } } })),
    put: (name, value) => done(client.PUT("/api/v1/runners/{runner_id}/secrets/{name}", { ...at(name), body: { value } })),
    remove: (name) => done(client.DELETE("/api/v1/runners/{runner_id}/secrets/{name}", at(name))),
  };
}
