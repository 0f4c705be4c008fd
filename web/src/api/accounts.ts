/** Signing in, and one's own account. */

import { client, done, outcome } from "./call";
import type {
  Account,
  DeviceRequest,
  Me,
  Passkey,
  PasskeyChallenge,
  Scope,
  SignInCode,
  SignInOptions,
  SignInProgress,
  TokenMade,
} from "./types";

/** Where the browser goes to sign in at the identity provider. */
export const OIDC_PATH = "/api/v1/sign-in/oidc";

/** A credential as WebAuthn's toJSON gives it. */
export type CredentialJSON = Record<string, unknown>;

const deviceFlow = (userCode: string) => ({ params: { path: { user_code: userCode } } });

export const accounts = {
  options: (): Promise<SignInOptions> => outcome(client.GET("/api/v1/sign-in")),
  signIn: (code: string): Promise<Me> => outcome(client.POST("/api/v1/sign-in", { body: { code } })),
  password: (name: string, password: string): Promise<SignInProgress> =>
    outcome(client.POST("/api/v1/sign-in/password", { body: { name, password } })),
  passkeyOptions: (): Promise<PasskeyChallenge> => outcome(client.POST("/api/v1/sign-in/passkey/options")),
  passkey: (id: string, credential: CredentialJSON): Promise<Me> =>
    outcome(client.POST("/api/v1/sign-in/passkey", { body: { id, credential } })),
  signOut: (): Promise<void> => done(client.POST("/api/v1/sign-out")),
  signInCode: (): Promise<SignInCode> => outcome(client.POST("/api/v1/sign-in-codes", { body: {} })),

  me: (): Promise<Me> => outcome(client.GET("/api/v1/me")),
  rename: (name: string): Promise<Me> => outcome(client.PATCH("/api/v1/me", { body: { name } })),
  account: (): Promise<Account> => outcome(client.GET("/api/v1/me/account")),
  setPassword: (current: string | null, password: string): Promise<void> =>
    done(client.PUT("/api/v1/me/password", { body: { current, new: password } })),
  removePassword: (): Promise<void> => done(client.DELETE("/api/v1/me/password")),
  setSecondFactor: (required: boolean): Promise<void> => done(client.PUT("/api/v1/me/second-factor", { body: { required } })),
  newPasskey: (): Promise<PasskeyChallenge> => outcome(client.POST("/api/v1/me/passkeys/options")),
  addPasskey: (id: string, name: string, credential: CredentialJSON): Promise<Passkey> =>
    outcome(client.POST("/api/v1/me/passkeys", { body: { id, name, credential } })),
  removePasskey: (id: string): Promise<void> =>
    done(client.DELETE("/api/v1/me/passkeys/{passkey_id}", { params: { path: { passkey_id: id } } })),

  signIns: () => outcome(client.GET("/api/v1/me/sign-ins")),
  endSignIn: (id: string): Promise<void> =>
    done(client.DELETE("/api/v1/me/sign-ins/{sign_in_id}", { params: { path: { sign_in_id: id } } })),
  endOtherSignIns: (): Promise<void> => done(client.DELETE("/api/v1/me/sign-ins")),

  tokens: () => outcome(client.GET("/api/v1/me/tokens")),
  makeToken: (name: string, scopes: Scope[], expiresInDays: number): Promise<TokenMade> =>
    outcome(client.POST("/api/v1/me/tokens", { body: { name, scopes, expiresInDays } })),
  endToken: (id: string): Promise<void> => done(client.DELETE("/api/v1/me/tokens/{token_id}", { params: { path: { token_id: id } } })),

  deviceRequest: (userCode: string): Promise<DeviceRequest> =>
    outcome(client.GET("/api/v1/device-flow/{user_code}", deviceFlow(userCode))),
  answerDevice: (userCode: string, approve: boolean): Promise<void> =>
    done(client.POST("/api/v1/device-flow/{user_code}", { ...deviceFlow(userCode), body: { approve } })),
};
