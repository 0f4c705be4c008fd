/** The people of this server, for admins; their names, for everybody who shares. */

import { client, done, outcome } from "./call";
import type { MemberRole, Person, SignInCode } from "./types";

const person = (id: string) => ({ params: { path: { person_id: id } } });

export const people = {
  list: () => outcome(client.GET("/api/v1/people")),
  names: () => outcome(client.GET("/api/v1/people/names")),
  add: (name: string, role: MemberRole) => outcome(client.POST("/api/v1/people", { body: { name, role } })),
  change: (id: string, change: { role?: MemberRole; disabled?: boolean }): Promise<Person> =>
    outcome(client.PATCH("/api/v1/people/{person_id}", { ...person(id), body: change })),
  remove: (id: string): Promise<void> => done(client.DELETE("/api/v1/people/{person_id}", person(id))),
  newLink: (id: string): Promise<SignInCode> => outcome(client.POST("/api/v1/people/{person_id}/sign-in-code", person(id))),
  endSignIns: (id: string): Promise<void> => done(client.DELETE("/api/v1/people/{person_id}/sign-ins", person(id))),
};
